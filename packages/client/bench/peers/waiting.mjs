// Waiting for what should happen, never for a fixed time, and never for ever.
import { setTimeout as sleep } from 'node:timers/promises';

/** What `probe` says once it says something; a probe that throws is asked again. @throws Error after `limitMs` */
export async function waitFor(what, probe, { everyMs = 20, limitMs = 60_000 } = {}) {
  const endMs = performance.now() + limitMs;
  let last;
  for (;;) {
    try {
      const found = await probe();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      last = error;
    }
    if (performance.now() > endMs) {
      throw new Error(`${what}: not within ${limitMs / 1000} s${last ? ` (${last.message})` : ''}`);
    }
    await sleep(everyMs);
  }
}

/** `promise`, or a refusal when it takes longer than `limitMs`. */
export async function within(limitMs, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no end within ${limitMs / 1000} s`)), limitMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
