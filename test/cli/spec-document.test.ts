/** The spec format: its digest, its canonical form, and the words for what is wrong with a document. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson, type JsonValue } from '../../compiler/spec/canonical.js';
import { writeSpec, type SpecDocument } from '../../compiler/spec/document.js';
import { readJson } from '../../compiler/spec/json-text.js';
import { sha256 } from '../../compiler/spec/sha256.js';
import { readSpec } from '../../compiler/spec/validate.js';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';

const document: SpecDocument = {
  format: 'sslc-spec',
  version: 1,
  language: '0.1',
  main: 'model.ssl',
  library: { 'std.prelude': 'std/prelude.ssl' },
  modules: {
    'model.ssl': { source: ['use "./loss.ssl" { f }', ''], imports: { './loss.ssl': 'loss.ssl' } },
    'loss.ssl': { source: ['fn f(x: []) = x'], imports: {} },
    'std/prelude.ssl': { source: ['fn relu(x: []) = max(x, 0)'], imports: {} },
  },
};

function problems(text: string): readonly string[] {
  try {
    readSpec({ name: 'm.json', text });
    return [];
  } catch (error) {
    if (!(error instanceof DiagnosticError)) throw error;
    return error.diagnostics.map((d) => `${d.code} ${text.slice(0, d.span.start).split('\n').length}: ${d.title}${d.help === null ? '' : ` (${d.help})`}`);
  }
}

describe('sha256', () => {
  it('agrees with the platform', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      expect(sha256(text)).toBe(createHash('sha256').update(text, 'utf8').digest('hex'));
    }), { numRuns: 100 });
    for (const length of [55, 56, 63, 64, 65, 119, 120]) expect(sha256('a'.repeat(length))).toBe(createHash('sha256').update('a'.repeat(length)).digest('hex'));
  });
});

describe('canonical JSON', () => {
  const json = fc.jsonValue({ depthSize: 'small' }).map((value): JsonValue => JSON.parse(JSON.stringify(value)));

  it('is read back as the same value, and a value has one text whatever the order of keys', () => {
    fc.assert(fc.property(json, (value) => {
      const text = canonicalJson(value);
      expect(JSON.parse(text)).toEqual(value);
      const read = readJson(text);
      expect(read.kind).toBe('value');
      if (read.kind === 'value') expect(canonicalJson(read.value)).toBe(text);
      const reversed: JsonValue = JSON.parse(text, (_, v: unknown) => (typeof v === 'object' && v !== null && !Array.isArray(v) ? Object.fromEntries(Object.entries(v).reverse()) : v));
      expect(canonicalJson(reversed)).toBe(text);
    }), { numRuns: 200 });
  });

  it('knows where every value stands', () => {
    fc.assert(fc.property(json, (value) => {
      const text = canonicalJson(value);
      const read = readJson(text);
      if (read.kind !== 'value') throw new Error(read.message);
      for (const [pointer, at] of read.places) expect(JSON.parse(text.slice(at.start, at.end))).toEqual(follow(value, pointer));
    }), { numRuns: 50 });
  });

  it('never throws and points inside the text for what is not JSON', () => {
    fc.assert(fc.property(fc.string({ maxLength: 60 }), (text) => {
      const read = readJson(text);
      // JSON writes -0 as 0.
      if (read.kind === 'value') expect(JSON.stringify(JSON.parse(text))).toEqual(JSON.stringify(read.value));
      else expect(read.place.start).toBeLessThanOrEqual(text.length);
    }), { numRuns: 500 });
    expect(readJson('['.repeat(100_000))).toMatchObject({ kind: 'problem', message: 'nested more than 64 deep' });
  });
});

function follow(value: JsonValue, pointer: string): unknown {
  return pointer.split('/').slice(1).reduce<unknown>((at, piece) => {
    const key = piece.replaceAll('~1', '/').replaceAll('~0', '~');
    if (Array.isArray(at)) return at[Number(key)];
    return typeof at === 'object' && at !== null ? Object.entries(at).find(([k]) => k === key)?.[1] : undefined;
  }, value);
}

describe('a spec', () => {
  const text = writeSpec(document);

  it('is read back, digest and all', () => {
    expect(writeSpec(readSpec({ name: 'm.json', text }))).toBe(text);
  });

  it.each<[string, (text: string) => string, readonly string[]]>([
    ['cut short', (t) => t.slice(0, 40), ['SSL5040 2: not a spec: this text does not end, or holds a character that must be escaped']],
    ['a value of the wrong kind', (t) => t.replace('"library": {', '"library": 3, "x": {'), [
      'SSL5040 5: not a spec: the document has no field `x`', 'SSL5040 5: not a spec: expected `library` to be an object, found a number']],
    ['a misspelt field', (t) => t.replace('"imports"', '"import"'), ['has no `imports`', 'has no field `import` (did you mean `imports`?)']],
    ['a path that leaves', (t) => t.replaceAll('"loss.ssl"', '"../loss.ssl"'), ['SSL5040']],
    ['a module that is missing', (t) => t.replace('"main": "model.ssl"', '"main": "modle.ssl"'), ['there is no module `modle.ssl` in it (did you mean `model.ssl`?)']],
    ['a later language', (t) => t.replace('"0.1"', '"9.0"'), ['expected language 0.1, found 9.0']],
    ['a change of content', (t) => t.replace('max(x, 0)', 'max(x, 1)'), ['SSL5041']],
    ['a key given twice', (t) => t.replace('"main"', '"language": "0.1", "main"'), ['`language` is given twice']],
  ])('that is wrong by %s is diagnosed', (_, change, words) => {
    const changed = change(text);
    expect(changed).not.toBe(text);
    const found = problems(changed).join('\n');
    for (const word of words) expect(found).toContain(word);
  });

  it('may be changed by hand when its digest is taken out', () => {
    const changed = text.replace('max(x, 0)', 'max(x, 1)').replace(/ {2}"digest": "[^"]*",\n/, '');
    expect(problems(changed)).toEqual([]);
  });
});
