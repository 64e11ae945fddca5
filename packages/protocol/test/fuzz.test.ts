/**
 * 100,000 frames of a stranger's making, half for the decoder of client frames, half for that of peers. FUZZ_SEED=N
 * repeats a run.
 */
import t from 'tap';
import fc from 'fast-check';
import { KvdError } from '../src/errors.js';
import { encodePeerHello, encodePeerMessage, decodePeerFrame, decodePeerHello } from '../src/peer-codec.js';
import {
  decodeClientFrame,
  decodeServerFrame,
  encodeClientHello,
  encodeRequest,
  encodeResponse,
  encodeUnwatch,
  encodeWatch,
  encodeWatchMessage,
} from '../src/requests-codec.js';
import * as gen from './arbitraries.js';

const FRAMES = 50_000;
const FRAME_BYTES_MAX = 4_096;
const HEAP_GROWTH_MAX = 64 * 1024 * 1024;
const DEADLINE_MS = 20_000;
/** Type bytes that announce something: long arrays, maps, strings, bytes, numbers, and the one that means nothing. */
const HEADERS = [
  0xc1, 0xc4, 0xc5, 0xc6, 0xcb, 0xcf, 0xd3, 0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0x8f, 0x9f, 0xbf,
];

const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);

/** mulberry32 */
function generator(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Fuzzer {
  constructor(
    private readonly random: () => number,
    private readonly valid: readonly Uint8Array[],
  ) {}

  frame(): Uint8Array {
    switch (this.below(7)) {
      case 0:
        return this.noise(this.below(64));
      case 1:
        return this.mutated(1 + this.below(4));
      case 2:
        return this.pick().subarray(0, this.below(FRAME_BYTES_MAX));
      case 3:
        return this.withHugeHeader();
      case 4:
        return new Uint8Array(1 + this.below(FRAME_BYTES_MAX)).fill(
          [0x91, 0x92, 0x81, 0xdd][this.below(4)] ?? 0x91,
        );
      case 5:
        return Buffer.concat([this.pick(), this.mutated(1), this.noise(this.below(8))]);
      default:
        return this.spliced();
    }
  }

  private below(n: number): number {
    return Math.floor(this.random() * n);
  }

  private pick(): Uint8Array {
    return this.valid[this.below(this.valid.length)] ?? new Uint8Array();
  }

  private noise(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }

  private mutated(times: number): Uint8Array {
    const bytes = this.pick().slice();
    for (let i = 0; i < times; i += 1) bytes[this.below(bytes.length)] = this.below(256);
    return bytes;
  }

  private withHugeHeader(): Uint8Array {
    const bytes = this.pick().slice();
    const at = this.below(bytes.length);
    bytes[at] = HEADERS[this.below(HEADERS.length)] ?? 0xdd;
    bytes.fill(0xff, at + 1, at + 5);
    return bytes;
  }

  private spliced(): Uint8Array {
    const [a, b] = [this.pick(), this.pick()];
    return Buffer.concat([a.subarray(0, this.below(a.length)), b.subarray(this.below(b.length))]);
  }
}

/** How many frames were refused. */
function throwAt(frames: () => Uint8Array, decoders: readonly ((frame: Uint8Array) => void)[]): number {
  let refused = 0;
  for (let i = 0; i < FRAMES; i += 1) {
    const frame = frames();
    const decode = decoders[i % decoders.length];
    try {
      decode?.(frame);
    } catch (error) {
      if (!(error instanceof KvdError)) {
        throw new Error(`frame ${Buffer.from(frame).toString('hex')}`, { cause: error });
      }
      refused += 1;
    }
  }
  return refused;
}

const sample = <T>(values: fc.Arbitrary<T>): T[] => fc.sample(values, { numRuns: 300, seed });
const ignore = (): void => {};
const clientFrames = {
  onHello: ignore,
  onRequest: ignore,
  onInvalidRequest: ignore,
  onInvalidWatch: ignore,
  onWatch: ignore,
  onUnwatch: ignore,
};
const serverFrames = { onWelcome: ignore, onResponse: ignore, onWatchMessage: ignore };

const suites = [
  {
    name: 'frames of clients and of their replicas',
    valid: [
      ...sample(gen.clientHello).map(encodeClientHello),
      ...sample(gen.request).map((request) => encodeRequest(9, request)),
      ...sample(gen.response).map((response) => encodeResponse(9, response)),
      ...sample(gen.watchRequest).map((request) => encodeWatch(9, request)),
      ...sample(gen.watchMessage).map((message) => encodeWatchMessage(9, message)),
      encodeUnwatch(9),
    ],
    decoders: [
      (frame: Uint8Array) => decodeClientFrame(frame, clientFrames),
      (frame: Uint8Array) => decodeServerFrame(frame, serverFrames),
    ],
  },
  {
    name: 'frames of peers',
    valid: [
      ...sample(gen.peerHello).map(encodePeerHello),
      ...sample(gen.peerMessage).map((message) => encodePeerMessage(9, message)),
    ],
    decoders: [
      (frame: Uint8Array) => decodePeerFrame(frame, ignore),
      (frame: Uint8Array) => decodePeerFrame(frame, ignore),
      (frame: Uint8Array) => void decodePeerHello(frame),
    ],
  },
];

for (const { name, valid, decoders } of suites) {
  t.test(`${FRAMES} ${name}: refused with a KvdError or read, in bounded memory and time`, async (t) => {
    t.comment(`FUZZ_SEED=${seed}`);
    const fuzzer = new Fuzzer(generator(seed), valid);
    const heapBefore = process.memoryUsage().heapUsed;
    const startedMs = performance.now();
    const refused = throwAt(() => fuzzer.frame(), decoders);
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    t.ok(refused > FRAMES / 2 && refused < FRAMES, `${refused} of ${FRAMES} refused, none in another way`);
    t.ok(heapUsed - heapBefore < HEAP_GROWTH_MAX, `heap grew by ${heapUsed - heapBefore} bytes`);
    t.ok(arrayBuffers < HEAP_GROWTH_MAX, `${arrayBuffers} bytes of buffers`);
    const tookMs = performance.now() - startedMs;
    t.ok(tookMs < DEADLINE_MS, `took ${Math.round(tookMs)} ms`);
  });
}
