/** Histories from text, line by line, in any of the formats. Opens no files: whoever has lines hands them in. */
import { type Event, EventPairing } from './events.js';
import type { Format } from './formats.js';
import { parseEdnLine, parseJepsenLine } from './jepsen.js';
import { type HistoryLine, parseJsonLine } from './json-lines.js';
import {
  type FinalRead,
  type History,
  HistoryError,
  type Operation,
  OPERATIONS_MAX,
  type Value,
} from './operation.js';

/** Takes lines (from 1, without their ends), then gives the history. */
export class HistoryParser {
  private reader: LineReader | undefined;
  private count = 0;

  constructor(private readonly format: Format = 'auto') {}

  /** @throws HistoryError with the line's number */
  add(text: string, line: number): void {
    if (text.trim() === '') return;
    if (++this.count > 2 * OPERATIONS_MAX) {
      throw new HistoryError('HISTORY_TOO_LARGE', `more than ${2 * OPERATIONS_MAX} lines`, line);
    }
    this.reader ??= makeReader(this.format === 'auto' ? detect(text) : this.format);
    this.reader.add(text, line);
  }

  /** @throws HistoryError when there was nothing */
  finish(): History {
    if (this.reader === undefined) throw new HistoryError('HISTORY_MALFORMED', 'there is no operation in it');
    return this.reader.finish();
  }
}

/** A whole history. @throws HistoryError with the line's number */
export function parseHistory(text: string, format: Format = 'auto'): History {
  const parser = new HistoryParser(format);
  text.split(/\r?\n/).forEach((line, index) => parser.add(line, index + 1));
  return parser.finish();
}

interface LineReader {
  add(text: string, line: number): void;
  finish(): History;
}

function makeReader(format: Exclude<Format, 'auto'>): LineReader {
  switch (format) {
    case 'kvd':
      return new JsonLinesReader();
    case 'jepsen':
      return new EventsReader(parseJepsenLine, null);
    case 'edn':
      return new EventsReader(parseEdnLine, '');
  }
}

function detect(text: string): Exclude<Format, 'auto'> {
  if (/^\s*\{\s*:/.test(text)) return 'edn';
  return text.includes('jepsen.util - ') ? 'jepsen' : 'kvd';
}

class JsonLinesReader implements LineReader {
  private readonly operations: Operation[] = [];
  private readonly finals: FinalRead[] = [];
  private header: Extract<HistoryLine, { type: 'header' }> | undefined;

  add(text: string, line: number): void {
    const parsed = parseJsonLine(text, line);
    switch (parsed.type) {
      case 'operation':
        this.operations.push(parsed.operation);
        return;
      case 'final':
        this.finals.push(parsed.final);
        return;
      case 'header':
        if (this.header !== undefined || this.operations.length > 0 || this.finals.length > 0) {
          throw new HistoryError('HISTORY_MALFORMED', 'a "history" line is not the first', line);
        }
        this.header = parsed;
        return;
    }
  }

  finish(): History {
    const { operations, finals } = this;
    const { initial = null, baseRevision } = this.header ?? {};
    return { operations, finals, initial, ...(baseRevision === undefined ? {} : { baseRevision }) };
  }
}

class EventsReader implements LineReader {
  private readonly pairing: EventPairing;

  constructor(
    private readonly parse: (text: string, line: number) => Event | undefined,
    private readonly initial: Value,
  ) {
    this.pairing = new EventPairing(initial);
  }

  add(text: string, line: number): void {
    const event = this.parse(text, line);
    if (event !== undefined) this.pairing.add(event, line);
  }

  finish(): History {
    return { operations: this.pairing.finish(), initial: this.initial };
  }
}
