import { connect as connectNats, StorageType } from 'nats';

export async function connect(endpoints) {
  const connection = await connectNats({ servers: [...endpoints], maxReconnectAttempts: -1 });
  const bucket = await connection.jetstream().views.kv('peers', { replicas: 3, storage: StorageType.File });
  return {
    put: (key, value) => bucket.put(key, value),
    // A "direct" get: any replica answers from what it has.
    stale: async (key) => (await bucket.get(key))?.value,
    close: () => connection.close(),
  };
}
