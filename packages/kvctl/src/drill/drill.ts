/** What a drill is: what it is called, what it does to a cluster under load, and what must hold whatever it does. */
import type { Stage } from './stage.js';

/** Thrown by `prepare`: this machine does not allow it. The drill is skipped. */
export class NotHere extends Error {
  override name = 'NotHere';
}

export interface Drill {
  readonly name: string;
  /** What it does and what must hold, in a sentence. */
  readonly about: string;
  /** How many replicas it has when nobody says. */
  readonly replicas: number;
  /** With fewer it would be another drill. */
  readonly replicasMin: number;
  /** A majority is up and connected all the time, so operations must go on, with a short break at most. */
  readonly goesOn: boolean;
  /** Why it cannot be done here; null: it can. */
  readonly whyNot?: () => string | null;
  /** More environment for the process of replica `id`; `dir` is the drill's scratch directory. */
  readonly environment?: (dir: string, id: number) => NodeJS.ProcessEnv;
  /** Before the replicas start. @throws NotHere */
  readonly prepare?: (stage: Stage) => void;
  /** Inflict it, again and again, until the stage's time is over. At least once. */
  readonly inflict: (stage: Stage) => Promise<void>;
  /** After the load, while the replicas still run: what only this drill promises. */
  readonly examine?: (stage: Stage) => Promise<void>;
  /** Whatever comes of it. */
  readonly cleanUp?: (stage: Stage) => void;
}
