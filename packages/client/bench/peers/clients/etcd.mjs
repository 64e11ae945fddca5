import { Etcd3 } from 'etcd3';

// What etcd takes in one transaction (its --max-txn-ops).
const TXN_OPERATIONS_MAX = 128;

export async function connect(endpoints) {
  const client = new Etcd3({ hosts: endpoints.map((endpoint) => `http://${endpoint}`) });
  return {
    put: (key, value) => client.put(key).value(Buffer.from(value.buffer, value.byteOffset, value.length)),
    get: (key) => client.get(key).buffer(),
    stale: (key) => client.get(key).serializable(true).buffer(),
    // Only to fill the store sooner than by puts, for what is measured then.
    manyMax: TXN_OPERATIONS_MAX,
    putMany: (keys, value) =>
      client
        .if('no such key', 'Version', '==', 0)
        .then(...keys.map((key) => client.put(key).value(Buffer.from(value))))
        .commit(),
    close: async () => client.close(),
  };
}
