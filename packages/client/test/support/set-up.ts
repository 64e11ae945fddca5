/** A client on replicas that misbehave as told, and what its promises come to. */
import { connect, type KvdClient, KvdError } from '@kvd/client';
import type { Test } from 'tap';
import { FakeCluster } from './fake-cluster.js';

export async function setUp(
  test: Test,
  replicas: number,
  options: Partial<Parameters<typeof connect>[0]> = {},
): Promise<{ cluster: FakeCluster; kv: KvdClient }> {
  const cluster = await FakeCluster.start(replicas);
  test.teardown(() => cluster.close());
  const kv = await connect({ endpoints: cluster.endpoints, timeoutMs: 5_000, ...options });
  test.teardown(() => kv.close());
  return { cluster, kv };
}

/** What a promise was rejected with. */
export async function failure(promise: Promise<unknown>): Promise<KvdError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof KvdError) return error;
    throw error;
  }
  throw new Error('it was fulfilled');
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
