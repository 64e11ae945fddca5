import { test } from 'tap';
import { Slowness, SlownessMeter } from '../src/slowness.js';

/** A replica that writes for `writeMs`, rests for `restMs`, and so on, looked at in time. */
class Writer {
  nowMs = 0;
  readonly slowness = new Slowness(0);
  #lookMs = 20;

  pass(ms: number): void {
    const until = this.nowMs + ms;
    for (; this.#lookMs <= until; this.#lookMs += 20) this.slowness.look(this.#lookMs, 20);
    this.nowMs = until;
  }

  write(ms: number): void {
    this.slowness.writeBegan(this.nowMs);
    this.pass(ms);
    this.slowness.writeEnded(this.nowMs);
  }

  writeFor(forMs: number, writeMs: number, restMs: number): void {
    for (const end = this.nowMs + forMs; this.nowMs < end; this.pass(restMs)) this.write(writeMs);
  }

  read(): number {
    return Math.round(this.slowness.read(this.nowMs));
  }
}

test('a disk that has become slow shows within seconds, and is forgotten as fast', (t) => {
  const writer = new Writer();
  writer.writeFor(10_000, 1, 9);
  t.ok(writer.read() <= 1, `${writer.read()}`);
  writer.writeFor(2_000, 100, 10);
  t.ok(writer.read() > 50, `${writer.read()} after two seconds`);
  writer.writeFor(8_000, 100, 10);
  t.ok(writer.read() > 90, `${writer.read()} after ten`);
  writer.writeFor(10_000, 1, 9);
  t.ok(writer.read() <= 2, `${writer.read()} when it is fast again`);
  t.end();
});

test('one slow write among many fast ones makes no slow disk', (t) => {
  const writer = new Writer();
  writer.writeFor(10_000, 1, 9);
  writer.write(100);
  t.ok(writer.read() < 10, `${writer.read()}`);
  t.end();
});

test('how often is written makes no difference to how slow the disk is', (t) => {
  const [busy, idle] = [new Writer(), new Writer()];
  busy.writeFor(10_000, 40, 1);
  idle.writeFor(10_000, 40, 900);
  t.ok(busy.read() > 35, `${busy.read()}`);
  t.ok(idle.read() > 20, `${idle.read()}`);
  t.end();
});

test('a replica that writes nothing is not slow for ever', (t) => {
  const writer = new Writer();
  writer.writeFor(10_000, 100, 10);
  writer.pass(10_000);
  t.equal(writer.read(), 1);
  t.end();
});

test('a write that does not end shows while it lasts', (t) => {
  const writer = new Writer();
  writer.writeFor(1_000, 1, 9);
  writer.slowness.writeBegan(writer.nowMs);
  writer.pass(3_000);
  t.equal(writer.read(), 3_000);
  t.end();
});

test('an event loop that stands still shows for a second', (t) => {
  const writer = new Writer();
  writer.pass(1_000);
  writer.slowness.look(1_170, 20);
  t.equal(Math.round(writer.slowness.read(1_170)), 150);
  for (let nowMs = 1_190; nowMs <= 2_150; nowMs += 20) writer.slowness.look(nowMs, 20);
  t.equal(Math.round(writer.slowness.read(2_150)), 150);
  writer.slowness.look(2_170, 20);
  t.equal(Math.round(writer.slowness.read(2_170)), 0);
  t.end();
});

test('the meter tells of a stall and of a write under way', async (t) => {
  const told: number[] = [];
  const meter = new SlownessMeter((slowMs) => told.push(slowMs));
  const ticker = setInterval(() => meter.look(20), 20);
  t.teardown(() => clearInterval(ticker));
  const toldOf = async (ms: number): Promise<void> => {
    while (!told.some((slowMs) => slowMs >= ms)) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  const end = performance.now() + 150;
  while (performance.now() < end);
  await toldOf(120);
  told.length = 0;
  meter.writeBegan();
  await toldOf(600);
  meter.writeEnded();
  t.ok(told.every(Number.isInteger), 'whole milliseconds, as reports carry them');
});
