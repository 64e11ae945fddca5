// What a put costs one replica below the network, stage by stage: CPU of all threads of this process, and how much of it
// is the main thread's. Batches of puts of one session, values that do not compress, keys at random; the log and the state
// on LevelDB as kvd opens them. Run after a build:
//   node packages/store/bench/put-stages.mjs [--value 100] [--keys 100000] [--batch 64] [--puts 300000] [--flush-keys 1000]
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { encodeBatch, encodeCommand } from '@kvd/protocol';
import { openDirectory } from '../dist/index.js';

const { values } = parseArgs({
  options: {
    value: { type: 'string', default: '100' },
    keys: { type: 'string', default: '100000' },
    batch: { type: 'string', default: '64' },
    puts: { type: 'string', default: '300000' },
    'flush-keys': { type: 'string', default: '1000' },
  },
});
const [valueBytes, keys, batchPuts, puts, flushKeys] = Object.values({
  value: values.value,
  keys: values.keys,
  batch: values.batch,
  puts: values.puts,
  flushKeys: values['flush-keys'],
}).map(Number);

const directory = mkdtempSync(path.join(tmpdir(), 'kvd-put-stages-'));
const incarnation = 'ab'.repeat(16);
const ballot = { counter: 1, replicaId: 1, incarnation };
const random = randomBytes(1 << 20);
const call = (start) =>
  new Promise((resolve, reject) => start((error, result) => (error ? reject(error) : resolve(result))));

/** CPU (all threads) and time on the clock of a stage, in microseconds. */
class Stage {
  cpu = 0;
  clock = 0;

  async run(action) {
    const [before, began] = [process.cpuUsage(), performance.now()];
    const result = await action();
    const { user, system } = process.cpuUsage(before);
    this.cpu += user + system;
    this.clock += (performance.now() - began) * 1000;
    return result;
  }
}

const stages = { 'write of the log': new Stage(), apply: new Stage(), 'flush of the state': new Stage() };
const opened = await openDirectory(directory, { replicaId: 1, founding: '1=127.0.0.1:1' });
try {
  const { log, state } = opened;
  let slot = 0;
  let sequence = 0;
  const applyAll = (value) => state.apply(slot, value);
  const next = (commands) => {
    slot += 1;
    const bytes = encodeBatch({ ballot, clusterMs: slot, wallMs: 1e12 + slot, commands });
    return { type: 'batch', bytes };
  };
  const opening = next([encodeCommand({ type: 'open-session' })]);
  const [{ session }] = applyAll(opening);
  await call((done) =>
    log.write({ entries: [{ slot, ballot, value: opening, chosen: true }], promised: ballot }, done),
  );
  const step = async (count, key) => {
    const commands = Array.from({ length: count }, () => {
      sequence += 1;
      const at = (sequence * 131) % (random.length - valueBytes);
      const origin = { session, sequence, lowestUnanswered: Math.max(1, sequence - count) };
      return encodeCommand({
        type: 'put',
        origin,
        key: Buffer.from(`key${key()}`),
        value: random.subarray(at, at + valueBytes),
      });
    });
    const value = next(commands);
    const entry = { slot, ballot, value, chosen: false };
    const cutThrough = Math.max(0, slot - 1000);
    await stages['write of the log'].run(() =>
      call((done) => log.write({ entries: [entry], chosenThrough: slot - 1, cutThrough }, done)),
    );
    await stages.apply.run(() => applyAll(value));
    if (state.dirtyKeys < flushKeys) return;
    await stages['flush of the state'].run(() => {
      state.freeze();
      return call((done) => state.writeFrozen(done));
    });
  };
  let filled = 0;
  while (filled < keys) await step(batchPuts, () => filled++);
  for (const stage of Object.values(stages)) Object.assign(stage, new Stage());
  const whole = new Stage();
  await whole.run(async () => {
    for (let done = 0; done < puts; done += batchPuts)
      await step(batchPuts, () => Math.floor(Math.random() * keys));
    // What LevelDB does in the background after the last of them belongs to them too.
    await call((done) => state.openDurable('all', done)).then((snapshot) => snapshot.close());
  });
  console.log(
    `${puts} puts of ${valueBytes} B on ${keys} keys, ${batchPuts} a batch, flushes of ${flushKeys} keys`,
  );
  for (const [name, { cpu, clock }] of [
    ...Object.entries(stages),
    ['all, with the making of the commands', whole],
  ]) {
    console.log(
      `${name.padEnd(38)} ${(cpu / puts).toFixed(2).padStart(8)} us CPU a put ${(clock / puts).toFixed(2).padStart(8)} us on the clock`,
    );
  }
} finally {
  await opened.close();
  rmSync(directory, { recursive: true, force: true });
}
