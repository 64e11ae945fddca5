/** How the parts of the client ask the cluster for something: encoding, deadlines and defaults, over the dispatcher. */
import {
  type Command,
  type Consistency,
  encodeCommand,
  KvdError,
  NO_ORIGIN,
  type Origin,
  type Response,
} from '@kvd/protocol';
import type { Dispatcher } from './dispatcher.js';
import { type ReadTask, type Task, withCause } from './operation.js';
import {
  bad,
  checkConsistency,
  checkSignal,
  checkTimeout,
  type MutationOptions,
  noteOf,
  type OperationOptions,
  type ReadOptions,
  type Settings,
} from './options.js';

type WithoutOrigin<C> = C extends { readonly origin: Origin } ? Omit<C, 'origin'> : never;

/** Mutations off the hot path; they take effect at most once. */
export type NumberedCommand = WithoutOrigin<
  Extract<Command, { type: 'txn' | 'lease-grant' | 'lease-revoke' | 'set-retention' }>
>;

/** Commands that are as good twice as once. */
export type RepeatableCommand = Extract<
  Command,
  { type: 'lease-keep-alive' | 'compact' | 'outcome' | 'keyed-outcome' }
>;

export class Caller {
  constructor(
    readonly dispatcher: Dispatcher,
    readonly settings: Settings,
  ) {}

  /** Encoded at once, so that what can never be done is refused at the call and its bytes are no longer the caller's. */
  mutate<T>(
    command: NumberedCommand,
    interpret: (response: Response) => T,
    options: MutationOptions | undefined,
  ): Promise<T> {
    const bytes = encoded({ ...command, origin: NO_ORIGIN });
    return this.submit({ type: 'numbered', command: bytes, note: noteOf(options) }, interpret, options);
  }

  repeat<T>(
    command: RepeatableCommand,
    interpret: (response: Response) => T,
    options: OperationOptions | undefined,
  ): Promise<T> {
    return this.submit({ type: 'repeatable', command: encoded(command) }, interpret, options);
  }

  read<T>(
    task: ReadTask,
    interpret: (response: Response) => T,
    options: OperationOptions | undefined,
  ): Promise<T> {
    return this.submit(task, interpret, options);
  }

  submit<T>(
    task: Task,
    interpret: (response: Response) => T,
    options: OperationOptions | undefined,
  ): Promise<T> {
    const timeoutMs =
      options?.timeoutMs === undefined
        ? this.settings.timeoutMs
        : checkTimeout('timeoutMs', options.timeoutMs);
    return this.dispatcher.submit(task, interpret, timeoutMs, checkSignal(options?.signal));
  }

  consistency(options: ReadOptions | undefined): Consistency {
    return checkConsistency(options?.consistency ?? this.settings.consistency);
  }
}

/** @throws KvdError KVD_TOO_LARGE, KVD_BAD_REQUEST: it has parts that no type would have let through */
function encoded(command: Command): Uint8Array {
  try {
    return encodeCommand(command);
  } catch (error) {
    if (error instanceof KvdError) throw error;
    throw withCause(bad(`this is no ${command.type}: ${(error as Error).message}`), error);
  }
}

/** An answer of a type that the request cannot have. */
export function unexpected(response: Response, outcome: 'unknown' | 'not-done'): KvdError {
  const type = response.type === 'result' ? response.result.type : response.type;
  return new KvdError('KVD_INTERNAL', `the replica sent an answer of type '${type}'`, outcome);
}
