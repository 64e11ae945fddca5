import { once } from 'node:events';
import { promisify } from 'node:util';
import zookeeper from 'node-zookeeper-client';

const PARENTS = 1_000;

export async function connect(endpoints) {
  const client = zookeeper.createClient(endpoints.join(','));
  const connected = once(client, 'connected');
  client.connect();
  await connected;
  const create = promisify(client.create.bind(client));
  const setData = promisify(client.setData.bind(client));
  const getData = promisify(client.getData.bind(client));
  const mkdirp = promisify(client.mkdirp.bind(client));

  const parents = Array.from({ length: PARENTS }, (_, i) => `/parent-${i}`);
  for (const parent of parents) await mkdirp(parent);

  const stale = (key) => getData(pathOf(key));
  return {
    // A node has to be made before it can be written.
    prepare: (key, value) => create(pathOf(key), bufferOf(value)).catch(unlessThere),
    put: (key, value) => setData(pathOf(key), bufferOf(value), -1),
    stale,
    close: async () => client.close(),
  };
}

/** Spread over directories: a node with a million children is not how anybody keeps a million keys. */
function pathOf(key) {
  return `/parent-${Number(key.slice(-3))}/${key}`;
}

function bufferOf(value) {
  return Buffer.from(value.buffer, value.byteOffset, value.length);
}

function unlessThere(error) {
  if (error.getCode?.() !== zookeeper.Exception.NODE_EXISTS) throw error;
}
