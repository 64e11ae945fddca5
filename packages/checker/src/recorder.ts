/**
 * Records what clients do while they do it. Single-threaded like its users: an operation that is completed before another is
 * begun has ended before it, and the times say so even when the clock did not move. No clock and no file of its own.
 */
import { formatFinal, formatHeader, formatOperation } from './json-lines.js';
import {
  type Answer,
  type Call,
  type FinalRead,
  type History,
  HistoryError,
  missingField,
  type Operation,
  OPERATIONS_MAX,
} from './operation.js';
import { nextAbove } from './timing.js';

export interface RecorderOptions {
  /** The time, in any unit, which never goes back. */
  readonly now: () => number;
  /** Gets each line of the JSON lines format, without its end, as soon as it is certain. */
  readonly write?: (line: string) => void;
  /** See History. */
  readonly baseRevision?: number;
}

/** How an operation ended: what it was answered, or why there is no answer. */
export type Completion =
  | ({ readonly outcome: 'ok' } & Answer)
  | { readonly outcome: 'fail' | 'unknown'; readonly error?: string };

export class HistoryRecorder {
  private readonly operations: Operation[] = [];
  private readonly underWay = new Map<number, { client: string; call: Call; start: number }>();
  private readonly finals: FinalRead[] = [];
  private nextId = 1;
  private last = Number.NEGATIVE_INFINITY;

  constructor(private readonly options: RecorderOptions) {
    const { baseRevision, write } = options;
    if (baseRevision !== undefined) write?.(formatHeader({ baseRevision }));
  }

  /** Call right before the operation is sent. @returns its number, for `complete` */
  invoke(client: string, call: Call): number {
    if (this.operations.length + this.underWay.size >= OPERATIONS_MAX) {
      throw new HistoryError('HISTORY_TOO_LARGE', `more than ${OPERATIONS_MAX} operations`);
    }
    const id = this.nextId++;
    this.underWay.set(id, { client, call, start: this.time() });
    return id;
  }

  /**
   * Call right after the answer came, or when it is given up.
   * @throws HistoryError when nothing of that number is under way, or the answer is not complete
   */
  complete(id: number, completion: Completion): void {
    const begun = this.underWay.get(id);
    if (begun === undefined) throw new HistoryError('HISTORY_MALFORMED', `operation ${id} is not under way`);
    const { client, call, start } = begun;
    // Which answer belongs to which call only the caller knows; what was asked stays what it was.
    const operation = { client, ...call, start, end: this.time(), ...completion, ...call } as Operation;
    const missing = missingField(operation);
    if (missing !== undefined)
      throw new HistoryError('HISTORY_MALFORMED', `operation ${id} has no ${missing}`);
    this.underWay.delete(id);
    this.note(operation);
  }

  /** What a replica holds in the end; see FinalRead. */
  final(read: FinalRead): void {
    this.finals.push(read);
    this.options.write?.(formatFinal(read));
  }

  /** Nothing more comes: what is under way has an unknown outcome. */
  close(): void {
    for (const { client, call, start } of this.underWay.values()) {
      this.note({ client, ...call, start, end: null, outcome: 'unknown' } as Operation);
    }
    this.underWay.clear();
  }

  /** What was recorded so far; what is under way counts as unknown. */
  history(): History {
    const open = [...this.underWay.values()].map(
      ({ client, call, start }) => ({ client, ...call, start, end: null, outcome: 'unknown' }) as Operation,
    );
    const { baseRevision } = this.options;
    return {
      operations: [...this.operations, ...open],
      finals: [...this.finals],
      ...(baseRevision === undefined ? {} : { baseRevision }),
    };
  }

  /** Operations recorded, and those under way. */
  get size(): number {
    return this.operations.length + this.underWay.size;
  }

  private note(operation: Operation): void {
    this.operations.push(operation);
    this.options.write?.(formatOperation(operation));
  }

  /** Greater than any time before: two events of one thread are never at the same time. */
  private time(): number {
    const now = this.options.now();
    this.last = now > this.last ? now : nextAbove(this.last);
    return this.last;
  }
}
