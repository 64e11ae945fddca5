/** What transactions and other operations did, as JSON and as text. */
import type { OperationOutcome, TxnResult } from '@kvd/client';
import { type JsonFields, outcomeJson, resultJson } from '@kvd/protocol';
import { printable } from './bytes.js';
import { entryFields } from './entries.js';

type Done = TxnResult['results'][number];

export function txnFields({ revision, succeeded, results }: TxnResult): JsonFields {
  return { revision, succeeded, results: results.map(doneFields) };
}

export function txnText({ revision, succeeded, results }: TxnResult): string {
  const branch = succeeded ? 'then' : 'else';
  return [`${branch}, revision ${revision}`, ...results.map((done) => `  ${doneText(done)}`)].join('\n');
}

export function outcomeFields(outcome: OperationOutcome): JsonFields {
  if (outcome.status !== 'applied') return outcomeJson(outcome);
  const { result } = outcome;
  return {
    status: 'applied',
    result: result.type === 'txn' ? txnFields(result as TxnResult) : resultJson(result),
  };
}

function doneFields(done: Done): JsonFields {
  switch (done.type) {
    case 'put':
      return { put: true };
    case 'added':
      return { add: done.value.toString() };
    case 'deleted':
      return { deleted: done.deleted };
    case 'entry':
      return { get: done.entry === undefined ? null : entryFields(done.entry) };
  }
}

function doneText(done: Done): string {
  switch (done.type) {
    case 'put':
      return 'put';
    case 'added':
      return `add: ${done.value}`;
    case 'deleted':
      return `deleted ${done.deleted}`;
    case 'entry':
      return done.entry === undefined
        ? 'get: (absent)'
        : `get: ${printable(done.entry.keyBytes)}\t${printable(done.entry.value)}`;
  }
}
