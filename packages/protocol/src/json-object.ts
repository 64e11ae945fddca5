/**
 * Reads objects of JSON that a user wrote, field by field: whatever is missing, of another type or unknown is refused
 * with its place. Refusals are KVD_BAD_REQUEST.
 */
import { KvdError } from './errors.js';

/** @throws KvdError KVD_BAD_REQUEST, always */
export function refuseAt(path: string, message: string): never {
  throw new KvdError('KVD_BAD_REQUEST', `${path}: ${message}`);
}

export function readArray<T>(json: unknown, path: string, read: (item: unknown, path: string) => T): T[] {
  if (!Array.isArray(json)) return refuseAt(path, 'must be a list');
  return json.map((item, index) => read(item, `${path}[${index}]`));
}

/** Canonical base64, padded or not. Buffer skips what it does not know, and would make another key of a typo. */
export function parseBase64(text: string): Uint8Array | null {
  const isBase64 = /^[A-Za-z0-9+/_-]*={0,2}$/.test(text) && text.replace(/=+$/, '').length % 4 !== 1;
  return isBase64 ? Buffer.from(text, 'base64') : null;
}

export class JsonObject {
  private readonly fields: Readonly<Record<string, unknown>>;
  private readonly left: Set<string>;

  /** @param prefix what the paths of its fields begin with */
  constructor(
    json: unknown,
    readonly path: string,
    private readonly prefix = `${path}.`,
  ) {
    if (typeof json !== 'object' || json === null || Array.isArray(json)) refuseAt(path, 'must be an object');
    this.fields = json as Readonly<Record<string, unknown>>;
    this.left = new Set(Object.keys(this.fields));
  }

  at(name: string): string {
    return `${this.prefix}${name}`;
  }

  has(name: string): boolean {
    return Object.hasOwn(this.fields, name);
  }

  /** `name` or `nameBase64`. */
  hasBytes(name: string): boolean {
    return this.has(name) || this.has(`${name}Base64`);
  }

  /** The value of a field, undefined when it is not there. */
  peek(name: string): unknown {
    return this.has(name) ? this.fields[name] : undefined;
  }

  /** As peek; the field is known from now on. */
  take(name: string): unknown {
    this.left.delete(name);
    return this.peek(name);
  }

  /** The bytes of `name` (text) or `nameBase64`. */
  bytes(name: string): Uint8Array {
    const encoded = `${name}Base64`;
    if (this.has(name) && this.has(encoded)) refuseAt(this.at(name), `is given twice, as ${encoded} too`);
    if (this.has(encoded)) {
      const text = this.take(encoded);
      const bytes = typeof text === 'string' ? parseBase64(text) : null;
      return bytes ?? refuseAt(this.at(encoded), 'must be base64');
    }
    if (!this.has(name)) refuseAt(this.at(name), `is missing (${name}, or ${encoded} for bytes)`);
    const text = this.take(name);
    if (typeof text !== 'string') return refuseAt(this.at(name), 'must be text');
    // A lone surrogate has no UTF-8, and would become another character without a word.
    if (!text.isWellFormed()) refuseAt(this.at(name), `is no valid text; ${encoded} takes any bytes`);
    return Buffer.from(text, 'utf8');
  }

  /** 0, 1, 2, … */
  wholeNumber(name: string): number {
    const value = this.take(name);
    if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
    return refuseAt(this.at(name), this.has(name) ? 'must be a whole number, 0 or more' : 'is missing');
  }

  /** Run a check of the field's value; its refusal names the field. */
  checked(name: string, check: () => void): void {
    try {
      check();
    } catch (error) {
      if (error instanceof KvdError) throw new KvdError(error.code, `${this.at(name)}: ${error.message}`);
      throw error;
    }
  }

  /** Refuse what was not read. @param known what could be there, for people */
  end(known: string): void {
    for (const name of this.left) {
      refuseAt(this.at(name.slice(0, 64)), `is unknown here; known: ${known}`);
    }
  }
}
