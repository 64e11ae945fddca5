// What npm run bench:peers is told.
import { parseArgs } from 'node:util';
import { SYSTEMS } from './systems/index.mjs';

export const PARTS = ['put', 'get', 'stale', 'values', 'replicas', 'processor', 'kill', 'size', 'neutral'];
const NAMES = SYSTEMS.map(({ name }) => name);

export const USAGE = `npm run bench:peers -- [options]

kvd and what is installed of ${NAMES.slice(1).join(', ')}, side by side on this machine.

  --rounds N     rounds, interleaved (5)
  --seconds S    each measurement (3)
  --warm-up S    before those of a round, for each system (3)
  --kills N      leaders killed of each system (10)
  --keys N       keys of the part size (1000000)
  --only LIST    these systems or parts only
  --without LIST all but these
  -o, --output   text | json

Systems: ${NAMES.join(', ')}. Parts: ${PARTS.join(', ')}.
--only names systems, parts or both: --only put,get,etcd. kvd is always measured unless --without kvd.`;

export class UsageError extends Error {}

export function parseOptions(args) {
  const values = parse(args);
  if (values.help) return { help: true };
  const only = list('--only', values.only);
  const without = list('--without', values.without);
  const chosen = (names) => {
    const wanted = names.filter((name) => only.includes(name));
    return (wanted.length > 0 ? wanted : names).filter((name) => !without.includes(name));
  };
  const systems = chosen(NAMES);
  if (!systems.includes('kvd') && !without.includes('kvd')) systems.unshift('kvd');
  return {
    rounds: number('--rounds', values.rounds, { min: 1, whole: true }),
    seconds: number('--seconds', values.seconds, { min: 0.1 }),
    warmUp: number('--warm-up', values['warm-up'], { min: 0 }),
    kills: number('--kills', values.kills, { min: 1, whole: true }),
    keys: number('--keys', values.keys, { min: 20_000, whole: true }),
    output: oneOf('--output', values.output, ['text', 'json']),
    systems,
    parts: chosen(PARTS),
  };
}

function parse(args) {
  const text = (value) => ({ type: 'string', default: value });
  try {
    return parseArgs({
      args,
      options: {
        rounds: text('5'),
        seconds: text('3'),
        'warm-up': text('3'),
        kills: text('10'),
        keys: text('1000000'),
        only: text(''),
        without: text(''),
        output: { ...text('text'), short: 'o' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error.message);
  }
}

function list(flag, value) {
  const names = value.split(',').filter((name) => name !== '');
  for (const name of names) oneOf(flag, name, [...NAMES, ...PARTS]);
  return names;
}

function number(flag, value, { min, whole = false }) {
  const found = Number(value);
  if (
    value.trim() === '' ||
    !(found >= min && Number.isFinite(found)) ||
    (whole && !Number.isInteger(found))
  ) {
    throw new UsageError(
      `${flag} is a ${whole ? 'whole number' : 'number'} of ${min} at least, not ${value}`,
    );
  }
  return found;
}

function oneOf(flag, value, allowed) {
  if (!allowed.includes(value)) throw new UsageError(`${flag}: ${value} is none of ${allowed.join(', ')}`);
  return value;
}
