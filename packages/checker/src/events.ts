/**
 * Histories that are told as events, one a line: somebody begins an operation, and later it ends. The number of an event's
 * line is its time. What never ends, or ends with `info`, has an unknown outcome.
 */
import { HistoryError, type Operation, type Value } from './operation.js';

export interface Event {
  readonly process: string;
  readonly type: 'invoke' | 'ok' | 'fail' | 'info';
  readonly f: 'get' | 'put' | 'append' | 'delete' | 'cas';
  readonly key: string;
  /** What was read, is to be written or appended; for cas the new value. */
  readonly value: Value;
  /** cas only. */
  readonly expected: Value;
  /** cas only: its failure means that it took place and the comparison did not hold. */
  readonly failedComparison: boolean;
  readonly error?: string;
}

export class EventPairing {
  private readonly operations: Operation[] = [];
  /** By process: the operation under way, and its place in `operations`. */
  private readonly underWay = new Map<string, { event: Event; index: number; line: number }>();

  /** @throws HistoryError when something ends that was not begun */
  add(event: Event, line: number): void {
    if (event.type === 'invoke') {
      // A process that begins anew has given up what it had under way.
      this.underWay.set(event.process, { event, index: this.operations.length, line });
      this.operations.push(operationOf(event, null, { start: line, end: null, outcome: 'unknown', line }));
      return;
    }
    const begun = this.underWay.get(event.process);
    if (begun === undefined || begun.event.f !== event.f || begun.event.key !== event.key) {
      throw new HistoryError(
        'HISTORY_MALFORMED',
        `process ${event.process} ends a ${event.f} that it did not begin`,
        line,
      );
    }
    this.underWay.delete(event.process);
    const outcome =
      event.type === 'info' ? 'unknown' : event.type === 'fail' && !event.failedComparison ? 'fail' : 'ok';
    const times = { start: begun.line, end: line, outcome, line: begun.line } as const;
    this.operations[begun.index] = operationOf(begun.event, event, times);
  }

  finish(): readonly Operation[] {
    return this.operations;
  }
}

type Times = Pick<Operation, 'start' | 'end' | 'outcome'> & { line: number };

function operationOf(begin: Event, end: Event | null, times: Times): Operation {
  const { key, f, process, value, expected } = begin;
  const common = { client: process, ...times, ...(end?.error === undefined ? {} : { error: end.error }) };
  switch (f) {
    case 'get':
      return {
        ...common,
        op: f,
        key,
        ...(end === null || times.outcome !== 'ok' ? {} : { value: end.value }),
      };
    case 'put':
    case 'append':
      return { ...common, op: f, key, value: value ?? '' };
    case 'delete':
      return { ...common, op: f, key };
    case 'cas':
      return {
        ...common,
        op: f,
        key,
        expected,
        value,
        ...(end === null || times.outcome !== 'ok' ? {} : { swapped: end.type === 'ok' }),
      };
  }
}
