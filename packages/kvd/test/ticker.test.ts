import { test } from 'tap';
import { Ticker } from '../src/ticker.js';

/** As many firings as asked for: what each was meant to wait, and how many ticks came with it. */
function firings(
  isQuiet: (firing: number) => boolean,
  wanted: number,
): Promise<(readonly [number, number])[]> {
  return new Promise((resolve) => {
    const dues: number[] = [];
    const ticks: number[] = [];
    const meter = { look: (dueMs: number) => void dues.push(dueMs) };
    const replica = {
      get isQuiet() {
        return isQuiet(dues.length);
      },
      tick: () => {
        ticks[dues.length - 1] = (ticks[dues.length - 1] ?? 0) + 1;
        if (dues.length <= wanted) return;
        ticker.stop();
        resolve(dues.slice(0, wanted).map((due, i) => [due, ticks[i] ?? 0] as const));
      },
    };
    const ticker = new Ticker(5, replica, [meter]);
    ticker.start();
  });
}

test('a tick every time; two every other time while it is quiet', async (t) => {
  t.strictSame(await firings(() => false, 3), [
    [5, 1],
    [5, 1],
    [5, 1],
  ]);
  const found = await firings((firing) => firing >= 1 && firing < 3, 5);
  t.strictSame(found, [
    [5, 1],
    [10, 2],
    // Somebody came meanwhile.
    [10, 1],
    [5, 1],
    [5, 1],
  ]);
});

test('after stop nothing comes', async (t) => {
  let ticks = 0;
  const replica = { isQuiet: false, tick: () => void (ticks += 1) };
  const ticker = new Ticker(1, replica, []);
  ticker.start();
  ticker.stop();
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal(ticks, 0);
});
