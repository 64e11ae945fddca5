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

  /** @param initial what a key holds that nobody wrote, and so what nil means wherever it is read or written */
  constructor(private readonly initial: Value) {}

  /** @throws HistoryError when something ends that was not begun */
  add(event: Event, line: number): void {
    if (event.type === 'invoke') {
      // A process that begins anew has given up what it had under way.
      this.underWay.set(event.process, { event, index: this.operations.length, line });
      const times = { start: line, end: null, outcome: 'unknown', line } as const;
      this.operations.push(this.operationOf(event, null, times));
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
    this.operations[begun.index] = this.operationOf(begun.event, event, times);
  }

  finish(): readonly Operation[] {
    return this.operations;
  }

  private operationOf(begin: Event, end: Event | null, times: Times): Operation {
    const { key, f, process } = begin;
    const common = { client: process, ...times, ...(end?.error === undefined ? {} : { error: end.error }) };
    const value = begin.value ?? this.initial;
    const isKnown = end !== null && times.outcome === 'ok';
    switch (f) {
      case 'get':
        return { ...common, op: f, key, ...(isKnown ? { value: end.value ?? this.initial } : {}) };
      case 'append':
        return { ...common, op: f, key, value: value ?? '' };
      case 'put':
      case 'delete':
        return value === null ? { ...common, op: 'delete', key } : { ...common, op: 'put', key, value };
      case 'cas': {
        const expected = begin.expected ?? this.initial;
        return { ...common, op: f, key, expected, value, ...(isKnown ? { swapped: end.type === 'ok' } : {}) };
      }
    }
  }
}

type Times = Pick<Operation, 'start' | 'end' | 'outcome'> & { line: number };
