/**
 * The values of one key as small numbers. Values that no operation compares with cannot be told apart by any operation, so
 * they all become one number: a search then has fewer states and more interchangeable operations.
 */
import type { Value } from './operation.js';

/** Characters that values made by appending may hold in all. */
const APPENDED_CHARACTERS_MAX = 200_000_000;

export class Values {
  private readonly numbers = new Map<Value, number>();
  private readonly texts: Value[] = [];
  private readonly appended = new Map<string, number>();
  private characters = 0;

  /** The number of `value`, its own whatever happens. */
  number(value: Value): number {
    const known = this.numbers.get(value);
    if (known !== undefined) return known;
    const number = this.texts.length;
    this.numbers.set(value, number);
    this.texts.push(value);
    return number;
  }

  /** The number of `value` if it has one. */
  find(value: Value): number | undefined {
    return this.numbers.get(value);
  }

  /** A number that is no value's. */
  anonymous(): number {
    this.texts.push(null);
    return this.texts.length - 1;
  }

  text(number: number): string {
    return this.texts[number] ?? '';
  }

  get count(): number {
    return this.texts.length;
  }

  /** The number of `state` with `tail` at its end. */
  append(state: number, tail: number): number {
    const pair = `${state} ${tail}`;
    const known = this.appended.get(pair);
    if (known !== undefined) return known;
    const text = this.text(state) + this.text(tail);
    this.characters += text.length;
    const number = this.number(text);
    this.appended.set(pair, number);
    return number;
  }

  /** Too much was appended to go on. */
  get full(): boolean {
    return this.characters > APPENDED_CHARACTERS_MAX;
  }
}
