import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import ts from 'typescript';
import { expect, test } from 'vitest';
import { decodeSafetensors, encodeSafetensors, type NamedTensor } from '../../runtime/train/safetensors.js';

const tensor = fc.tuple(fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }), fc.constantFrom('f32', 'i32', 'u8'), fc.integer()).map(([shape, kind, seed]): NamedTensor => {
  const values = Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.imul(seed + i, 2654435761) >> (i % 20));
  return { shape, data: kind === 'f32' ? Float32Array.from(values, (v) => v / 1000) : kind === 'i32' ? Int32Array.from(values) : Uint8Array.from(values) };
});

test('safetensors round trip, and the bytes do not depend on the order', () => {
  fc.assert(fc.property(fc.dictionary(fc.string({ minLength: 1 }).filter((n) => n !== '__metadata__' && n !== '__proto__'), tensor, { maxKeys: 6 }), fc.dictionary(fc.constantFrom('a', 'b', 'step'), fc.string()), (tensors, metadata) => {
    const entries = Object.entries(tensors);
    const bytes = encodeSafetensors(new Map(entries), metadata);
    const back = decodeSafetensors(Buffer.from(bytes), 'x');
    expect(new Map([...back.tensors].sort())).toEqual(new Map(entries.sort()));
    expect({ ...back.metadata }).toEqual({ ...metadata });
    expect(encodeSafetensors(new Map(entries.reverse()), metadata)).toEqual(bytes);
  }));
});

test('a file cut anywhere is a diagnostic, never a wrong tensor', () => {
  const bytes = encodeSafetensors(new Map([['w', { shape: [3], data: Float32Array.of(1, 2, 3) }]]));
  for (let n = 0; n < bytes.length; n++) expect(() => decodeSafetensors(bytes.subarray(0, n), 'cut')).toThrow(/SSL50(10|23)/);
});

test('kill -9 while files are being replaced leaves a whole one', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'kill-'));
  try {
    const source = readFileSync(fileURLToPath(new URL('../../runtime/train/atomic-write.ts', import.meta.url)), 'utf8');
    writeFileSync(join(folder, 'atomic-write.mjs'), ts.transpileModule(source, { compilerOptions: { module: ts.ModuleKind.ES2022, target: ts.ScriptTarget.ES2022 } }).outputText);
    writeFileSync(join(folder, 'writer.mjs'), `import { atomicWrite } from './atomic-write.mjs';
for (let i = 0; ; i++) { await atomicWrite(process.argv[2], new Uint8Array(2_000_000).fill(i % 256)); if (i === 0) console.log('first'); }`);
    for (let round = 0; round < 4; round++) {
      const target = join(folder, 'target.bin');
      const child = spawn(process.execPath, [join(folder, 'writer.mjs'), target], { stdio: ['ignore', 'pipe', 'inherit'] });
      await new Promise((resolve) => child.stdout.once('data', resolve));
      await new Promise((resolve) => setTimeout(resolve, 7 + 23 * round));
      child.kill('SIGKILL');
      await new Promise((resolve) => child.once('exit', resolve));
      const found = readFileSync(target);
      expect(found.length).toBe(2_000_000);
      expect(found.every((b) => b === found[0])).toBe(true);
    }
    expect(readdirSync(folder)).toContain('target.bin');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
