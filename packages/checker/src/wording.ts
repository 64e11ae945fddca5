/** Operations in words, for people. */
import type { Operation } from './operation.js';
import { shown } from './text.js';

const ENTRIES_SHOWN = 4;

/** What was asked and answered, e.g. `get "a" -> "1"`. `key: false` leaves the key out where it is clear. */
export function wordOperation(operation: Operation, { key = true } = {}): string {
  const { op } = operation;
  const about =
    'prefix' in operation ? ` ${shown(operation.prefix)}*` : key ? ` ${shown(operation.key)}` : '';
  return `${op}${about}${argument(operation)}${answer(operation)}`;
}

/** For a sentence: the operation, who asked it and where it is in the file, or which of the history it is. */
export function nameOperation(operation: Operation, index: number): string {
  const where = operation.line === undefined ? `operation ${index}` : `line ${operation.line}`;
  return `${wordOperation(operation)} (client ${operation.client}, ${where})`;
}

/** A time without the noise behind the third decimal. */
export function wordTime(time: number | null): string {
  return time === null ? '…' : String(Math.round(time * 1000) / 1000);
}

function argument(operation: Operation): string {
  switch (operation.op) {
    case 'put':
    case 'append':
      return ` ${shown(operation.value)}`;
    case 'cas':
      return ` ${shown(operation.expected)} to ${shown(operation.value)}`;
    case 'get':
    case 'delete':
    case 'scan':
    case 'delete-prefix':
      return '';
  }
}

function answer(operation: Operation): string {
  if (operation.outcome === 'unknown') return ' -> unknown';
  if (operation.outcome === 'fail') return ' -> failed';
  switch (operation.op) {
    case 'get':
      return ` -> ${shown(operation.value ?? null)}`;
    case 'cas':
      return operation.swapped ? ' -> swapped' : ' -> not swapped';
    case 'delete':
    case 'delete-prefix':
      return operation.deleted === undefined ? '' : ` -> deleted ${operation.deleted}`;
    case 'scan': {
      const entries = operation.entries ?? [];
      const words = entries
        .slice(0, ENTRIES_SHOWN)
        .map(({ key, value }) => `${shown(key, 20)}: ${shown(value, 20)}`);
      if (entries.length > ENTRIES_SHOWN) words.push(`… ${entries.length} entries`);
      return ` -> {${words.join(', ')}}`;
    }
    case 'put':
    case 'append':
      return '';
  }
}
