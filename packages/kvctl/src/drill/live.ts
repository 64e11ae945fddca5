/**
 * A drill while it runs, on stderr: one line that changes on a terminal, with injections above it; elsewhere a line for
 * each injection and now and then one for how the clients fare.
 */
import { stripVTControlCharacters } from 'node:util';
import type { Load } from './load.js';
import { at, seconds } from './report-text.js';
import type { DrillSetting } from './result.js';
import type { Watcher } from './run-drill.js';
import type { Injection } from './stage.js';

const PLAIN_EVERY_MS = 2_000;

export class LiveProgress implements Watcher {
  private lastPlainMs = 0;
  private lastSeen = { ms: 0, successes: 0 };
  private drawn = false;

  constructor(
    private readonly setting: DrillSetting,
    private readonly stderr: NodeJS.WriteStream = process.stderr,
  ) {}

  phase(what: string): void {
    this.line(`${this.setting.name}: ${what}`, !this.stderr.isTTY);
  }

  injected({ atMs, what }: Injection): void {
    this.line(`${this.setting.name}  ${at(atMs)}  ${what}`, true);
  }

  progress(load: Load, nowMs: number): void {
    const isDue = this.stderr.isTTY || nowMs - this.lastPlainMs >= PLAIN_EVERY_MS;
    if (!isDue) return;
    this.lastPlainMs = nowMs;
    const { ok, fail, unknown } = load.counts;
    const perSecond = ((ok - this.lastSeen.successes) * 1000) / Math.max(1, nowMs - this.lastSeen.ms);
    this.lastSeen = { ms: nowMs, successes: ok };
    const { name, durationMs } = this.setting;
    const text =
      `${name}  ${seconds(nowMs)} of ${seconds(durationMs)}  ${Math.round(perSecond)} a second  ` +
      `${ok} acknowledged, ${fail} refused, ${unknown} unknown`;
    this.line(text, !this.stderr.isTTY);
  }

  /** Nothing of it stays on a terminal but the injections. */
  clear(): void {
    if (this.drawn) this.stderr.write('\r\u001b[K');
    this.drawn = false;
  }

  private line(text: string, stays: boolean): void {
    this.clear();
    if (stays) {
      this.stderr.write(`${text}\n`);
      return;
    }
    // A line that wrapped could not be taken back.
    this.stderr.write(stripVTControlCharacters(text).slice(0, (this.stderr.columns || 80) - 1));
    this.drawn = true;
  }
}
