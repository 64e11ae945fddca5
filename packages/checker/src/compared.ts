/**
 * Did compares of revisions hold? Of the versions and revisions of keys the search for an order knows nothing; but a transaction
 * that was told its own revision, and found a key at an older one, says that nobody wrote the key between the two.
 */
import type { Findings } from './finding.js';
import type { History, TxnOperation } from './operation.js';
import { shown } from './text.js';
import { nameOperation } from './wording.js';
import { takenRevision, writtenBy } from './written.js';

interface Write {
  readonly revision: number;
  readonly operation: number;
}

export function checkCompared(history: History, findings: Findings): void {
  const txns = history.operations.flatMap((operation, index) => {
    return operation.op === 'txn' && operation.succeeded === true ? [{ operation, index }] : [];
  });
  if (txns.length === 0) return;
  const writes = writesByKey(history);
  for (const { operation, index } of txns) checkTxn(history, operation, index, writes, findings);
}

function checkTxn(
  history: History,
  txn: TxnOperation,
  index: number,
  writes: ReadonlyMap<string, readonly Write[]>,
  findings: Findings,
): void {
  const taken = takenRevision(txn);
  if (taken === undefined) return;
  for (const compare of txn.compares) {
    if (compare.target !== 'mod-revision' || compare.comparison !== '=' || compare.number === 0) continue;
    const between = firstAfter(writes.get(compare.key) ?? [], compare.number);
    const writer = between && history.operations[between.operation];
    if (writer === undefined || between === undefined || between.revision >= taken) continue;
    const explanation =
      `${nameOperation(txn, index)} took revision ${taken} and found ${shown(compare.key)} at ${compare.number}, ` +
      `but ${nameOperation(writer, between.operation)} wrote it at ${between.revision}`;
    findings.add('revision-mismatch', compare.key, [between.operation, index], explanation);
  }
}

/** Of each key, by revision. */
function writesByKey(history: History): Map<string, Write[]> {
  const writes = new Map<string, Write[]>();
  history.operations.forEach((operation, index) => {
    const revision = takenRevision(operation);
    if (revision === undefined) return;
    for (const { key } of writtenBy(operation)) {
      const ofKey = writes.get(key);
      if (ofKey === undefined) writes.set(key, [{ revision, operation: index }]);
      else ofKey.push({ revision, operation: index });
    }
  });
  for (const ofKey of writes.values()) ofKey.sort((a, b) => a.revision - b.revision);
  return writes;
}

function firstAfter(writes: readonly Write[], revision: number): Write | undefined {
  let low = 0;
  let high = writes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((writes[middle] as Write).revision > revision) high = middle;
    else low = middle + 1;
  }
  return writes[low];
}
