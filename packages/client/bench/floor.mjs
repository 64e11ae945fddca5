// How fast the parts would be with nothing in between: a leader that is fixed, group commit into a synced LevelDB, raw bytes
// forwarded over ws, one decoder, a map in memory and a write-back that is synced. No ballots, no recovery, no sessions, no
// history, no hashes: what kvd is slower by is what these cost. Three processes on loopback in a scratch directory, and the
// client is this one; 100 B values that do not compress, on 10,000 keys. Then the same through the HTTP server of Node.js on the
// leader, asked by h2load on 64 connections, if that is installed. Run after a build:
//   node packages/client/bench/floor.mjs [rounds] [seconds per measurement]
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ofPackage = (name) => createRequire(new URL(`../../${name}/package.json`, import.meta.url));
const { WebSocket, WebSocketServer } = ofPackage('transport')('ws');
const { Level } = ofPackage('store')('level');
const { Encoder, Decoder } = ofPackage('protocol')('@msgpack/msgpack');

const HOST = '127.0.0.1';
const REPLICAS = 3;
const MAJORITY = 2;
const KEYS = 10_000;
const VALUE_BYTES = 100;
const IN_FLIGHT = [1, 64, 1024];
const FLUSH_KEYS = 4_000;
const FLUSH_MS = 100;
/** Slot and the last one chosen, before the commands. */
const HEAD_BYTES = 8;
const WS = { perMessageDeflate: false, skipUTF8Validation: true };
const encoder = new Encoder();
const decoder = new Decoder();

if (process.argv[2] === 'replica') await serve(process.argv[3], process.argv.slice(4).map(Number));
else await measureAll(Number(process.argv[2] ?? 3), Number(process.argv[3] ?? 3));

/** A follower, or with the ports of followers the leader. Prints its port when it is ready. */
async function serve(directory, followers) {
  const http = createServer({ keepAliveTimeout: 60_000 }).listen(0, HOST);
  await once(http, 'listening');
  const server = new WebSocketServer({ server: http, ...WS });
  const log = await openLog(path.join(directory, 'log'));
  const state = await openState(path.join(directory, 'state'));
  if (followers.length === 0) server.on('connection', follow(log, state));
  else {
    const take = await lead(log, state, followers);
    server.on('connection', (socket) =>
      socket.on('message', (bytes) => take(bytes, (numbers) => socket.send(encoder.encode(numbers)))),
    );
    http.on('request', (request, response) => void takeRequest(request, response, take));
  }
  console.log(http.address().port);
}

async function lead(log, state, followers) {
  const links = await Promise.all(followers.map((port) => dial(port)));
  const slots = new Map();
  let [last, chosen, waiting] = [0, 0, []];
  const propose = () => {
    if (waiting.length === 0 || slots.size > 1) return;
    const slot = ++last;
    const commands = Buffer.concat(waiting.map(({ bytes }) => bytes));
    slots.set(slot, { from: waiting, votes: 0 });
    waiting = [];
    const head = Buffer.alloc(HEAD_BYTES);
    head.writeUInt32LE(slot, 0);
    head.writeUInt32LE(chosen, 4);
    for (const link of links) link.send(Buffer.concat([head, commands]));
    log.append(slot, commands, () => vote(slot));
  };
  const vote = (slot) => {
    const voted = slots.get(slot);
    if (voted !== undefined) voted.votes++;
    while (slots.get(chosen + 1)?.votes >= MAJORITY) {
      const { from } = slots.get(++chosen);
      slots.delete(chosen);
      for (const { answer, bytes } of from) answer(state.apply(bytes));
    }
    propose();
  };
  for (const link of links) link.on('message', (bytes) => vote(bytes.readUInt32LE(0)));
  return (bytes, answer) => {
    waiting.push({ answer, bytes });
    setImmediate(propose);
  };
}

/** PUT /KEY with the value as body. */
async function takeRequest(request, response, take) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const answer = ([number]) => response.end(`{"number":${number}}\n`);
  take(encoder.encode([0, request.url.slice(1), Buffer.concat(chunks)]), answer);
}

function follow(log, state) {
  const held = new Map();
  let applied = 0;
  return (socket) =>
    socket.on('message', (bytes) => {
      const [slot, chosen] = [bytes.readUInt32LE(0), bytes.readUInt32LE(4)];
      held.set(slot, bytes.subarray(HEAD_BYTES));
      log.append(slot, held.get(slot), () => socket.send(bytes.subarray(0, 4)));
      for (; applied < chosen && held.has(applied + 1); held.delete(applied))
        state.apply(held.get(++applied));
    });
}

/** What comes while a write is under way goes into the next one. */
async function openLog(location) {
  const db = new Level(location, { keyEncoding: 'view', valueEncoding: 'view', compression: false });
  await db.open();
  let [queue, isWriting] = [[], false];
  const write = async () => {
    isWriting = true;
    while (queue.length > 0) {
      const batch = queue;
      queue = [];
      await db.batch(
        batch.map(({ key, value }) => ({ type: 'put', key, value })),
        { sync: true },
      );
      for (const { done } of batch) done();
    }
    isWriting = false;
  };
  const append = (slot, value, done) => {
    const key = Buffer.alloc(4);
    key.writeUInt32BE(slot);
    queue.push({ key, value, done });
    if (!isWriting) void write();
  };
  return { append };
}

async function openState(location) {
  const db = new Level(location, { keyEncoding: 'utf8', valueEncoding: 'view' });
  await db.open();
  const values = new Map();
  let [dirty, isFlushing, timer] = [new Map(), false, null];
  const flush = async () => {
    timer = null;
    if (isFlushing) return;
    isFlushing = true;
    const changes = [...dirty];
    dirty = new Map();
    await db.batch(
      changes.map(([key, value]) => ({ type: 'put', key, value })),
      { sync: true },
    );
    isFlushing = false;
  };
  /** The numbers of the requests. */
  const apply = (commands) => {
    const numbers = [];
    for (const [number, key, value] of decoder.decodeMulti(commands)) {
      values.set(key, value);
      dirty.set(key, value);
      numbers.push(number);
    }
    if (dirty.size >= FLUSH_KEYS) void flush();
    else timer ??= setTimeout(() => void flush(), FLUSH_MS);
    return numbers;
  };
  return { apply };
}

async function dial(port) {
  const socket = new WebSocket(`ws://${HOST}:${port}`, WS);
  await once(socket, 'open');
  return socket;
}

async function measureAll(rounds, seconds) {
  const directory = mkdtempSync(path.join(tmpdir(), 'kvd-floor-'));
  const replicas = [];
  const start = async (followers) => {
    const place = path.join(directory, String(replicas.length + 1));
    const args = [fileURLToPath(import.meta.url), 'replica', place, ...followers.map(String)];
    const replica = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    replicas.push(replica);
    return Number(String((await once(replica.stdout, 'data'))[0]));
  };
  try {
    const followers = [];
    while (followers.length < REPLICAS - 1) followers.push(await start([]));
    const port = await start(followers);
    const put = await client(port);
    await measure(put, 64, 2);
    for (const inFlight of IN_FLIGHT) {
      await measure(put, inFlight, 1);
      const rates = [];
      for (let round = 0; round < rounds; round++) rates.push(await measure(put, inFlight, seconds));
      print(`put ${inFlight} in flight`, rates);
    }
    measureHttp(port, directory, rounds, seconds);
  } finally {
    for (const replica of replicas) replica.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
  process.exit();
}

/** Puts that are asked for in one turn go in one frame. */
async function client(port) {
  const socket = await dial(port);
  const answered = new Map();
  let [frame, last] = [[], 0];
  socket.on('message', (bytes) => {
    for (const number of decoder.decode(bytes)) {
      answered.get(number)();
      answered.delete(number);
    }
  });
  const send = () => {
    socket.send(Buffer.concat(frame));
    frame = [];
  };
  return (key, value) =>
    new Promise((resolve) => {
      answered.set(++last, resolve);
      if (frame.push(encoder.encode([last, key, value])) === 1) setImmediate(send);
    });
}

/** Puts a second, closed loop. */
async function measure(put, inFlight, seconds) {
  const value = randomBytes(VALUE_BYTES);
  const beganMs = performance.now();
  let count = 0;
  const loop = async () => {
    while (performance.now() < beganMs + seconds * 1000) await put(`key${count++ % KEYS}`, value);
  };
  await Promise.all(Array.from({ length: inFlight }, loop));
  return Math.round((count / (performance.now() - beganMs)) * 1000);
}

function measureHttp(port, directory, rounds, seconds) {
  const value = path.join(directory, 'value');
  writeFileSync(value, randomBytes(VALUE_BYTES));
  const args = [
    '--h1',
    '-c',
    '64',
    '-t',
    '1',
    '-d',
    value,
    '-H',
    ':method: PUT',
    `http://${HOST}:${port}/key`,
  ];
  const rates = [];
  for (let round = 0; round < rounds; round++) {
    const times = ['-D', String(seconds), '--warm-up-time', '2'];
    const { stdout, error } = spawnSync('h2load', [...times, ...args], { encoding: 'utf8' });
    if (error !== undefined) {
      console.log(`no puts over HTTP: h2load does not start (${error.code}; Debian: nghttp2-client)`);
      return;
    }
    rates.push(Math.round(Number(/status codes: (\d+) 2xx/.exec(stdout)?.[1]) / seconds));
  }
  print('put over HTTP, 64 connections', rates);
}

function print(what, rates) {
  const sorted = [...rates].sort((a, b) => a - b);
  console.log(`${what}: ${sorted[Math.floor(sorted.length / 2)]}/s (${rates.join(', ')})`);
}
