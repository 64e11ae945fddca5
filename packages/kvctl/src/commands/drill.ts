/** `kvctl drill`: faults inflicted on a cluster of real processes under load, and a verdict on what clients saw. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Context } from '../context.js';
import { DRILLS } from '../drill/catalogue.js';
import type { Drill } from '../drill/drill.js';
import { LiveProgress } from '../drill/live.js';
import { SEED_MAX } from '../drill/random.js';
import { reportPage } from '../drill/report-html.js';
import { resultText, summaryText } from '../drill/report-text.js';
import { type DrillResult, type DrillSetting, resultLine } from '../drill/result.js';
import { runDrill } from '../drill/run-drill.js';
import { Templates } from '../drill/template.js';
import { describeError, EXIT, type ExitCode, usage } from '../errors.js';
import { exitCodeOfSignal } from '../stop.js';

export interface DrillArgs {
  readonly name: string;
  readonly replicas?: number | undefined;
  readonly seed?: number | undefined;
  readonly duration: number;
  readonly clients: number;
  readonly report?: string | undefined;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Replicas that are being killed may still be writing. */
const REMOVE = { recursive: true, force: true, maxRetries: 5, retryDelay: 50 } as const;
const NAME_WIDTH = Math.max(...DRILLS.map(({ name }) => name.length)) + 2;

export async function drillList(context: Context): Promise<ExitCode> {
  for (const { name, about, replicas, replicasMin, whyNot } of DRILLS) {
    const reason = whyNot?.() ?? null;
    const text = `${name.padEnd(NAME_WIDTH)}${about}${reason === null ? '' : ` (not here: ${reason})`}`;
    await context.out.result({ name, about, replicas, replicasMin, skipped: reason }, text);
  }
  return EXIT.done;
}

/** Exit 1 when a drill failed. */
export async function drillRun(context: Context, args: DrillArgs): Promise<ExitCode> {
  const drills = choose(args);
  await checkReport(args.report);
  const dir = mkdtempSync(path.join(tmpdir(), 'kvd-drill-'));
  const results: DrillResult[] = [];
  const stopListening = tidyUpAtTheEnd(dir, results);
  const colour = process.stdout.isTTY && process.stdout.hasColors();
  try {
    const templates = new Templates(dir);
    const seed = args.seed ?? Math.floor(Math.random() * SEED_MAX);
    for (const drill of drills) {
      const result = await runOne(drill, settingOf(drill, args, seed), dir, templates);
      results.push(result);
      await context.out.result(resultLine(result), resultText(result, colour));
    }
  } finally {
    stopListening();
    removeWhatIsNotKept(dir, results);
  }
  if (drills.length > 1 && context.out.format === 'text')
    await context.out.write(`${summaryText(results)}\n`);
  if (args.report !== undefined) {
    await writeFile(args.report, reportPage(results, new Date().toISOString()));
    context.out.note(`the report is in ${args.report}`);
  }
  return results.some((result) => result.verdict === 'failed') ? EXIT.negative : EXIT.done;
}

/** @throws CliError usage when there is no such drill, or not with so few replicas */
function choose({ name, replicas }: DrillArgs): readonly Drill[] {
  if (name === 'all') return DRILLS;
  const drill = DRILLS.find((known) => known.name === name);
  if (drill === undefined) {
    throw usage(`there is no drill '${name}': kvctl drill list shows them, 'all' runs all of them`);
  }
  if (replicas !== undefined && replicas < drill.replicasMin) {
    throw usage(`${name} needs at least ${drill.replicasMin} replicas, not ${replicas}`);
  }
  return [drill];
}

/** Better to fail before an hour of drills than after it. @throws CliError usage */
async function checkReport(file: string | undefined): Promise<void> {
  if (file === undefined) return;
  try {
    await writeFile(file, '');
  } catch (error) {
    throw usage(`--report: cannot write ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function settingOf(drill: Drill, args: DrillArgs, seed: number): DrillSetting {
  const { name, about, replicas } = drill;
  return {
    name,
    about,
    replicas: args.replicas ?? replicas,
    clients: args.clients,
    seed,
    durationMs: args.duration * 1000,
  };
}

async function runOne(
  drill: Drill,
  setting: DrillSetting,
  dir: string,
  templates: Templates,
): Promise<DrillResult> {
  const tooFew =
    setting.replicas < drill.replicasMin ? `it needs at least ${drill.replicasMin} replicas` : null;
  const reason = drill.whyNot?.() ?? tooFew;
  if (reason !== null) return { ...setting, verdict: 'skipped', reason };
  const watcher = new LiveProgress(setting);
  try {
    return await runDrill(drill, setting, { dir, templates, watcher });
  } finally {
    watcher.clear();
  }
}

/** What a failed drill left stays, the rest goes. */
function removeWhatIsNotKept(dir: string, results: readonly DrillResult[]): void {
  const kept = results.flatMap((result) =>
    result.verdict === 'failed' && result.scratch !== null ? [path.basename(result.scratch)] : [],
  );
  for (const name of readdirSync(dir)) {
    if (!kept.includes(name)) rmSync(path.join(dir, name), REMOVE);
  }
  if (kept.length === 0) rmSync(dir, REMOVE);
}

/**
 * Ctrl-C, a terminal or a reader of the output that goes away: the replicas end with this process, and all data goes
 * but what failed drills left. Until it is called off, an end is none that a drill came to.
 */
function tidyUpAtTheEnd(dir: string, results: readonly DrillResult[]): () => void {
  const onSignal = (signal: NodeJS.Signals): void => process.exit(exitCodeOfSignal(signal));
  // The last one: those who end replicas and unmount disks put themselves before it.
  const onExit = (): void => {
    try {
      removeWhatIsNotKept(dir, results);
    } catch (error) {
      process.stderr.write(`kvctl: ${dir} could not be removed: ${describeError(error).message}\n`);
    }
  };
  process.exitCode = EXIT.unknown;
  process.on('exit', onExit);
  for (const signal of SIGNALS) process.on(signal, onSignal);
  return () => {
    process.exitCode = undefined;
    process.removeListener('exit', onExit);
    for (const signal of SIGNALS) process.removeListener(signal, onSignal);
  };
}
