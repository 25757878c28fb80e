/**
 * Reads JSON and remembers where each value stands, so that what is wrong with a document can be shown in its
 * text. Stricter than `JSON.parse`: a key given twice is an error, and so is nesting beyond `deepest`.
 */
import type { JsonValue } from './canonical.js';

export interface Place {
  readonly start: number;
  readonly end: number;
}

export type JsonText =
  | { readonly kind: 'value'; readonly value: JsonValue; /** By JSON pointer (RFC 6901). */ readonly places: ReadonlyMap<string, Place> }
  | { readonly kind: 'problem'; readonly message: string; readonly pointer: string; readonly place: Place };

const deepest = 64;

class Stop extends Error {
  constructor(message: string, readonly pointer: string, readonly place: Place) {
    super(message);
  }
}

/** One key as a piece of a JSON pointer. */
export function pointerPiece(key: string): string {
  return `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

/** Reads a whole document. */
export function readJson(text: string): JsonText {
  const places = new Map<string, Place>();
  let at = 0;

  const stop = (message: string, pointer: string, start = at, end = start + 1): never => {
    throw new Stop(message, pointer, { start: Math.min(start, text.length), end: Math.min(end, text.length) });
  };
  const space = (): void => { while (at < text.length && ' \t\r\n'.includes(text[at])) at++; };
  const found = (): string => (at >= text.length ? 'the end of the document' : `\`${text[at]}\``);
  const expect = (character: string, pointer: string): void => {
    space();
    if (text[at] !== character) stop(`expected \`${character}\`, found ${found()}`, pointer);
    at++;
  };
  const token = (pattern: RegExp): string | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match === null) return null;
    at = match.index + match[0].length;
    return match[0];
  };
  const string = (pointer: string): string => {
    const start = at;
    const quoted = token(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y);
    return quoted === null ? stop(text[start] === '"' ? 'this text does not end, or holds a character that must be escaped' : `expected a text in quotes, found ${found()}`, pointer, start) : JSON.parse(quoted);
  };
  const value = (pointer: string, depth: number): JsonValue => {
    space();
    if (depth > deepest) stop(`nested more than ${deepest} deep`, pointer);
    const start = at;
    const result = text[at] === '{' ? object(pointer, depth) : text[at] === '[' ? array(pointer, depth) : scalar(pointer);
    places.set(pointer, { start, end: at });
    return result;
  };
  const scalar = (pointer: string): JsonValue => {
    if (text[at] === '"') return string(pointer);
    const word = token(/(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])/y);
    return word === null ? stop(`expected a value, found ${found()}`, pointer) : JSON.parse(word);
  };
  const array = (pointer: string, depth: number): JsonValue => {
    const out: JsonValue[] = [];
    at++;
    space();
    if (text[at] === ']') { at++; return out; }
    for (;;) {
      out.push(value(`${pointer}/${out.length}`, depth + 1));
      space();
      if (text[at] === ',') { at++; continue; }
      expect(']', pointer);
      return out;
    }
  };
  const object = (pointer: string, depth: number): JsonValue => {
    const out: { [key: string]: JsonValue } = Object.create(null);
    at++;
    space();
    if (text[at] === '}') { at++; return out; }
    for (;;) {
      space();
      const start = at;
      const key = string(pointer);
      if (Object.hasOwn(out, key)) stop(`\`${key}\` is given twice`, pointer + pointerPiece(key), start, at);
      expect(':', pointer);
      out[key] = value(pointer + pointerPiece(key), depth + 1);
      space();
      if (text[at] === ',') { at++; continue; }
      expect('}', pointer);
      return out;
    }
  };

  try {
    const result = value('', 0);
    space();
    if (at < text.length) stop(`expected the end of the document, found ${found()}`, '');
    return { kind: 'value', value: result, places };
  } catch (error) {
    if (error instanceof Stop) return { kind: 'problem', message: error.message, pointer: error.pointer, place: error.place };
    throw error;
  }
}
