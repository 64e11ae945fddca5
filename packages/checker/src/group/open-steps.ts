/**
 * The open transitions of a search: which of them may come next. There may be thousands, and they stay open for ever, so they are
 * looked up by what they demand or leave instead of tried one after the other.
 */
import type { Value } from '../operation.js';
import { type ExactDemand, exactDemands } from './exact-demands.js';
import type { Moves } from './moves.js';
import { integerOf, type Transition, type Way } from './transition.js';

/** One way of an open transition. */
export interface OpenWay {
  readonly step: number;
  readonly index: number;
  readonly way: Way;
}

/** Of open transitions that demand and do the same, only the first that is not taken may come next. */
export interface OpenKind {
  readonly steps: readonly number[];
  readonly ways: readonly Way[];
}

interface KindWay {
  readonly kind: OpenKind;
  readonly index: number;
  readonly way: Way;
  readonly demands: readonly ExactDemand[];
}

type ByValue = Map<Value, KindWay[]>;

export class OpenSteps {
  /** By the first value that they demand; and those that demand none exactly. */
  private readonly demanding = new Map<number, ByValue>();
  private readonly undemanding: KindWay[] = [];
  /** By what they leave; and those of which that depends on what they find. */
  private readonly leaving = new Map<number, ByValue>();
  private readonly changing = new Map<number, KindWay[]>();

  /** @param isReady may this open step come next, as far as time goes? */
  constructor(
    kinds: readonly OpenKind[],
    private readonly moves: Moves,
    private readonly isReady: (step: number) => boolean,
  ) {
    for (const kind of kinds) {
      kind.ways.forEach((way, index) => this.add({ kind, index, way, demands: exactDemands(way) }));
    }
  }

  private add(each: KindWay): void {
    const [first] = each.demands;
    if (first === undefined) this.undemanding.push(each);
    else push(this.demanding, first.key, first.value, each);
    for (const move of each.way.moves) {
      if (move.type === 'set') push(this.leaving, move.key, move.value, each);
      else if (move.type === 'add' || move.type === 'append') {
        const others = this.changing.get(move.key);
        if (others === undefined) this.changing.set(move.key, [each]);
        else others.push(each);
      }
    }
  }

  /** All that can be taken now. */
  applicable(): OpenWay[] {
    const demanding = [...this.demanding].flatMap(([key, byValue]) => {
      return byValue.get(this.moves.valueOf(key)) ?? [];
    });
    return [...this.undemanding, ...demanding]
      .flatMap((each) => this.ready(each))
      .filter(({ way }) => this.moves.allows(way));
  }

  /** Those that can be taken now and lead to what `blocked` transitions demand, over others or at once. */
  helping(blocked: readonly Transition[]): OpenWay[] {
    const helping: OpenWay[] = [];
    const looked = new Set<KindWay>();
    const wanted = blocked.flatMap(({ ways }) => ways.flatMap((way) => this.missing(exactDemands(way), way)));
    for (let want = wanted.pop(); want !== undefined; want = wanted.pop()) {
      for (const each of this.giving(want)) {
        if (looked.has(each)) continue;
        looked.add(each);
        const [open] = this.ready(each);
        if (open === undefined) continue;
        if (this.moves.allows(open.way)) helping.push(open);
        else for (const missing of this.missing(each.demands, each.way)) wanted.push(missing);
      }
    }
    return helping;
  }

  private ready({ kind, index, way }: KindWay): OpenWay[] {
    const step = kind.steps.find((each) => this.isReady(each));
    return step === undefined ? [] : [{ step, index, way }];
  }

  private giving({ key, value }: Want): readonly KindWay[] {
    const byValue = this.leaving.get(key);
    const setting = value === undefined ? [...(byValue?.values() ?? [])].flat() : (byValue?.get(value) ?? []);
    const changing = (this.changing.get(key) ?? []).filter(({ way }) => {
      return value === undefined || this.wouldLeave(way, key, value);
    });
    return [...setting, ...changing];
  }

  private wouldLeave({ moves }: Way, key: number, value: Value): boolean {
    const present = this.moves.valueOf(key);
    return moves.some((move) => {
      if (move.type === 'append') return move.key === key && value === (present ?? '') + move.value;
      if (move.type !== 'add' || move.key !== key) return false;
      const before = integerOf(present);
      return before !== undefined && value === String(before + move.delta);
    });
  }

  /** What is not there of what is demanded; where all of that is there, any other value of any key. */
  private missing(demands: readonly ExactDemand[], way: Way): Want[] {
    const missing = demands.filter(({ key, value }) => this.moves.valueOf(key) !== value);
    if (missing.length > 0 || this.moves.allows(way)) return missing;
    const moved = way.moves.flatMap((move) => (move.type === 'count' ? move.keys : [move.key]));
    const keys = [...(way.guard?.compares ?? []).map(({ key }) => key), ...moved];
    return keys.map((key) => ({ key, value: undefined }));
  }
}

/** A key that must have this value, or undefined: another one than it has. */
interface Want {
  readonly key: number;
  readonly value: Value | undefined;
}

function push(index: Map<number, ByValue>, key: number, value: Value, each: KindWay): void {
  const byValue = index.get(key) ?? new Map<Value, KindWay[]>();
  index.set(key, byValue);
  const others = byValue.get(value);
  if (others === undefined) byValue.set(value, [each]);
  else others.push(each);
}
