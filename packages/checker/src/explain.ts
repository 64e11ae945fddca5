/** A violation in a sentence, as far as its kind is one of the usual ones. Says only what follows from the operations. */
import type { History, Value } from './operation.js';
import type { Step } from './steps.js';
import { shown } from './text.js';
import { nameOperation } from './wording.js';

/** Why `steps` of `key` cannot be ordered; `culprit` is the last of them to end. */
export function explain(history: History, key: string, steps: readonly Step[], culprit: Step): string {
  const told = history.operations[culprit.operation];
  const subject = told === undefined ? 'an operation' : nameOperation(told, culprit.operation);
  const others = steps.filter((step) => step !== culprit);
  if (culprit.requires !== undefined && !others.some((step) => step.appends !== undefined)) {
    return `${subject} ${whyNotFound(history, key, others, culprit, culprit.requires)}`;
  }
  const missed = missingAppend(others, culprit);
  const missedOperation = missed && history.operations[missed.operation];
  if (missed !== undefined && missedOperation !== undefined) {
    return `${subject} found nothing of ${nameOperation(missedOperation, missed.operation)}, which was done before it began`;
  }
  if (culprit.excludes !== undefined) {
    return `${subject} found another value than ${shown(culprit.excludes)}, which no order of the others leaves it`;
  }
  return `no order explains all answers; without ${subject} the others can be ordered`;
}

/** An append that the culprit should have found, because nothing could have overwritten it. */
function missingAppend(others: readonly Step[], { start, requires }: Step): Step | undefined {
  if (requires === undefined || others.some(({ sets }) => sets !== undefined)) return undefined;
  return others.find(({ appends, end }) => {
    return appends !== undefined && appends !== '' && end < start && requires?.includes(appends) !== true;
  });
}

function whyNotFound(
  history: History,
  key: string,
  others: readonly Step[],
  culprit: Step,
  value: Value,
): string {
  const found = `found ${shown(value)}`;
  const sources = others.filter((step) => step.sets === value);
  const isInitial = value === (history.initial ?? null);
  if (sources.length === 0 && !isInitial) {
    const failed = history.operations.findIndex((operation) => {
      return operation.outcome === 'fail' && writes(operation, key) === value;
    });
    const failure = history.operations[failed];
    if (failure !== undefined)
      return `${found}, which only ${nameOperation(failure, failed)} wrote, and that failed`;
    return `${found}, which nobody had begun to write`;
  }
  const latestSource = sources.reduce((latest, step) => Math.max(latest, step.end), Number.NEGATIVE_INFINITY);
  const hider = others.find((step) => {
    return (
      step.sets !== undefined && step.sets !== value && latestSource < step.start && step.end < culprit.start
    );
  });
  const hiding = hider && history.operations[hider.operation];
  if (hider !== undefined && hiding !== undefined) {
    return `${found}, although ${nameOperation(hiding, hider.operation)} was done before it began and after that was written`;
  }
  const reader = others.find((step) => {
    return (
      step.requires !== undefined &&
      step.requires !== value &&
      latestSource < step.start &&
      step.end < culprit.start
    );
  });
  const reading = reader && history.operations[reader.operation];
  if (reader !== undefined && reading !== undefined && reader.sets === undefined) {
    return `${found}, although ${nameOperation(reading, reader.operation)} before it had already found ${shown(reader.requires ?? null)}`;
  }
  return `${found}, which no order of the others leaves there`;
}

/** What an operation would have left in `key`. */
function writes(operation: History['operations'][number], key: string): Value | undefined {
  if (operation.op === 'put' || operation.op === 'cas')
    return operation.key === key ? operation.value : undefined;
  return undefined;
}
