import { createClient, RESP_TYPES } from 'redis';

export async function connect([endpoint]) {
  const client = createClient({ url: `redis://${endpoint}` }).withTypeMapping({
    [RESP_TYPES.BLOB_STRING]: Buffer,
  });
  client.on('error', () => {
    // It tries again by itself; what fails meanwhile is counted where it was asked for.
  });
  await client.connect();
  return {
    put: (key, value) => client.set(key, Buffer.from(value.buffer, value.byteOffset, value.length)),
    get: (key) => client.get(key),
    close: async () => client.destroy(),
  };
}
