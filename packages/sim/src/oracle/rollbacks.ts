/**
 * The judge of directories that are put back to an older copy (S5): who starts with one, and was heard with a later write
 * by a process that still runs, does not go on as who it was.
 */
import type { Identity, Incarnation, MarkerNumber } from '@kvd/paxos';
import { decodePeerFrame } from '@kvd/protocol';
import { safety } from '../violation.js';

/** A machine, and which of its processes. */
export interface Listener {
  readonly number: number;
  readonly life: number;
}

interface RolledBack {
  readonly identity: Identity;
  /** The last write of the copy, and the last one that was heard of. */
  readonly marker: MarkerNumber;
  readonly heard: MarkerNumber;
}

export class Rollbacks {
  /** By machine, of the process that runs there: the highest marker that reached it of each incarnation. */
  private readonly heard = new Map<
    number,
    { life: number; readonly markers: Map<Incarnation, MarkerNumber> }
  >();
  private readonly putBack = new Set<Incarnation>();
  private readonly noticeable: RolledBack[] = [];

  /** `wanted` false: nobody's directory is put back in this run, and nothing is kept. */
  constructor(private readonly wanted: boolean) {}

  onFrame({ number, life }: Listener, { incarnation }: Identity, bytes: Uint8Array): void {
    if (!this.wanted) return;
    let known = this.heard.get(number);
    if (known?.life !== life) this.heard.set(number, (known = { life, markers: new Map() }));
    const { markers } = known;
    decodePeerFrame(bytes, ({ marker }) => {
      markers.set(incarnation, Math.max(marker, markers.get(incarnation) ?? 0));
    });
  }

  onPutBack({ incarnation }: Identity): void {
    this.putBack.add(incarnation);
  }

  /** A process has started. `running`: all that run. */
  onOpened(identity: Identity, marker: MarkerNumber, running: readonly Listener[]): void {
    if (!this.putBack.delete(identity.incarnation)) return;
    const markers = running.map(({ number, life }) => {
      const known = this.heard.get(number);
      return known?.life === life ? (known.markers.get(identity.incarnation) ?? 0) : 0;
    });
    const heard = Math.max(0, ...markers);
    if (heard > marker) this.noticeable.push({ identity, marker, heard });
  }

  /** At the end. @throws Violation */
  judge(identities: readonly (Identity | null)[]): void {
    for (const { identity, marker, heard } of this.noticeable) {
      if (!identities.some((other) => other?.incarnation === identity.incarnation)) continue;
      throw safety(
        'S5',
        `replica ${identity.replicaId} started with its directory as of write ${marker} and goes on as who it was; a peer had heard of write ${heard}`,
      );
    }
  }
}
