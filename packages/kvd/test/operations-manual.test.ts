import { readFileSync } from 'node:fs';
import { test } from 'tap';
import { Metrics } from '../src/metrics.js';
import { defaultText, OPTION_NAMES, OPTION_TABLE } from '../src/option-table.js';
import { RequestMeter } from '../src/request-meter.js';
import { FakeReplica } from './fake-replica.js';

const manual = readFileSync(new URL('../../../docs/OPERATIONS.md', import.meta.url), 'utf8');

test('the manual lists every flag, with its default and its range', (t) => {
  for (const name of OPTION_NAMES) {
    const row = manual.split('\n').find((line) => line.startsWith(`| --${name} |`)) ?? '';
    t.not(row, '', name);
    const spec = OPTION_TABLE[name];
    t.match(row, `| ${defaultText(name)}`, name);
    const range = /an integer from (\d+) to (\d+)/.exec(spec.allowed);
    if (range !== null) t.match(row, range[1], `the least ${name}`);
    if (range !== null && name !== 'in-flight-slots') t.match(row, range[2], `the highest ${name}`);
  }
  t.end();
});

test('the manual names every metric', async (t) => {
  const replica = new FakeReplica();
  const metrics = new Metrics(1, '1.2.3', new RequestMeter(replica), {
    status: () => replica.status(),
    chaosKills: () => 0,
    httpRequests: () => 0,
    clients: () => ({ connections: 0, bytesIn: 0, bytesOut: 0 }),
    peers: () => [],
    slowMs: () => 0,
    takeLag: () => ({ p50: 0, p99: 0, max: 0 }),
  });
  const names = [...(await metrics.text()).matchAll(/^# TYPE (kvd_\S+)/gm)].map(([, name]) => name ?? '');
  metrics.close();
  t.ok(names.length > 20);
  t.strictSame(
    names.filter((name) => !manual.includes(name)),
    [],
  );
});
