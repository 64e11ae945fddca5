/** lease grant, revoke, keep-alive, show, list. */
import type { LeaseStatus } from '@kvd/client';
import { leaseJson } from '@kvd/protocol';
import { printable } from '../bytes.js';
import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../errors.js';

export async function leaseGrant(context: Context, ttlMs: number): Promise<ExitCode> {
  return context.withClient(async (client) => {
    // Nobody keeps it alive: it outlives this process, and whoever wants it longer says so.
    const lease = await client.lease.grant({ ttlMs, ...context.note });
    await context.out.result({ lease: String(lease.id), ttlMs }, String(lease.id));
    return EXIT.done;
  });
}

export async function leaseRevoke(context: Context, id: number): Promise<ExitCode> {
  return context.withClient(async (client) => {
    const { revision, deleted } = await client.lease.revoke(id, context.note);
    await context.out.result({ revision, deleted }, `deleted ${deleted}, revision ${revision}`);
    return EXIT.done;
  });
}

export async function leaseKeepAlive(context: Context, id: number): Promise<ExitCode> {
  return context.withClient(async (client) => {
    await client.lease.keepAlive(id);
    const lease = await client.lease.show(id);
    if (lease === undefined) return ended(context, id);
    const { ttlMs } = lease;
    await context.out.result({ lease: String(id), ttlMs }, `lives for ${ttlMs / 1_000} s`);
    return EXIT.done;
  });
}

export async function leaseShow(context: Context, id: number): Promise<ExitCode> {
  return context.withClient(async (client) => {
    const lease = await client.lease.show(id);
    if (lease === undefined) return ended(context, id);
    const keys = lease.keys.map((key) => `\n  ${printable(key)}`).join('');
    await context.out.result(leaseJson(wireLease(lease), true), `${leaseText(lease)}${keys}`);
    return EXIT.done;
  });
}

export async function leaseList(context: Context): Promise<ExitCode> {
  return context.withClient(async (client) => {
    for await (const lease of client.lease.list()) {
      await context.out.result(leaseJson(wireLease(lease), false), leaseText(lease));
    }
    return EXIT.done;
  });
}

function ended(context: Context, id: number): ExitCode {
  context.out.negative('KVD_LEASE_NOT_FOUND', `lease ${id} has expired, was revoked or never was`);
  return EXIT.negative;
}

function leaseText({ id, ttlMs, remainingMs }: LeaseStatus): string {
  return `${id}\t${remainingMs / 1_000} s left of ${ttlMs / 1_000} s`;
}

function wireLease({ id, ttlMs, remainingMs, keys }: LeaseStatus) {
  return { lease: id, ttlMs, remainingMs, keys };
}
