// How long does it take to encode and decode one put command, with the codecs of this package and with the general
// encoder and decoder of @msgpack/msgpack? Run after a build: node packages/protocol/bench/codec-speed.mjs
import { Decoder, Encoder } from '@msgpack/msgpack';
import { decodeCommand, encodeCommand } from '../dist/index.js';

const ROUNDS = 1_000_000;
const text = new TextEncoder();
const key = text.encode('site/12/patient/345');
const value = new Uint8Array(100).fill(7);
const origin = { session: 1 << 20, sequence: 70_000, lowestUnanswered: 69_950 };
const put = { type: 'put', origin, key, value };
const bytes = encodeCommand(put);
const encoder = new Encoder();
const decoder = new Decoder();

function measure(name, run) {
  for (let i = 0; i < ROUNDS / 10; i += 1) run();
  const started = process.hrtime.bigint();
  for (let i = 0; i < ROUNDS; i += 1) run();
  const ns = Number(process.hrtime.bigint() - started) / ROUNDS;
  console.log(`${name.padEnd(40)} ${ns.toFixed(0)} ns`);
}

for (let round = 0; round < 2; round += 1) {
  measure('encode, MsgpackWriter', () => encodeCommand(put));
  measure('encode, library Encoder and a copy', () =>
    encoder.encode([4, origin.session, origin.sequence, origin.lowestUnanswered, key, value]),
  );
  measure('decode and check, MsgpackReader', () => decodeCommand(bytes));
  measure('decode without checks, library Decoder', () => decoder.decode(bytes));
}
