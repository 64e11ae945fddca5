// All systems, kvd first: the others are compared with it.
import { etcd } from './etcd.mjs';
import { kvd } from './kvd.mjs';
import { nats } from './nats.mjs';
import { redis } from './redis.mjs';
import { zookeeper } from './zookeeper.mjs';

export const SYSTEMS = [kvd, etcd, zookeeper, nats, redis];
