/** Stages on a real session: what they compute, when they run, and that a resumed run is bit for bit the same. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CompiledModel, TargetOptions } from '../../compiler/api.js';
import { compileTraining } from '../../compiler/pipeline.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import { bindInputs } from '../../runtime/evaluate/embed.js';
import type { Device, Session } from '../../runtime/device/device.js';
import { openCpuDevice } from '../../runtime/device/cpu/open-cpu-device.js';
import { readMetrics } from '../../runtime/train/metrics.js';
import { latestCheckpoint, readFacts } from '../../runtime/train/checkpoint.js';
import { decodeSafetensors } from '../../runtime/train/safetensors.js';
import { dueStages, runStage } from '../../runtime/train/stages.js';
import { train } from '../../runtime/train/train.js';
import { load } from '../lower/harness.js';
import { toyData } from './fake-session.js';

const target: TargetOptions = {
  target: 'wasm', maxBindingBytes: 2 ** 32, maxBindings: 1000, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 32768,
  subgroups: false, software: false, threads: 2, relaxedSimd: false, disabled: [],
};

/** Every kind of thing a stage can write: a table, a memory, a param, a net drawn anew with its optimizer states. */
const program = (stages: string, represent = 'f(x)'): string => `use std.layers { linear }
use std.optimizers { adamw }
layer pixels(width: int)(x: [H, W, C]) -> [width] = x |> flatten |> linear(width)
model m(k: int = 3) {
  input x: u8[H, W, C], id: example
  net   f = pixels(5)
  net   head = linear(k)
  table assignment: int[examples] = 0
  table bank: [examples, 5] = 0
  memory centre: [5] = 1
  param codes: [k, 5] ~ unit_normal()
${stages}
  minimize predict: cross_entropy(head(f(x)), assignment[id]) + mse(f(x), bank[id]) + mean(f(x) * centre) + mean((codes @ f(x))^2)
  represent ${represent}
}
train m {
  batch 8
  optimizer adamw(rate: 0.05)
}
`;
const stages = `  stage look every 3 steps {
    let z = f(x) over data
    let score[n, j] = sum[d](z[n, d] * codes[j, d])
    let a[n] = argmax[j](score[n, j])
    assignment <- a
    bank <- 0.5 * z + 0.5 * bank
    centre <- sum[n](z[n]) / examples
    codes <- codes + 1
    reset head
  }
  stage first once { assignment <- assignment + 1 }`;

function compile(text: string, steps = 10): CompiledModel {
  const loaded = load(text);
  if (loaded.diagnostics.length > 0) throw new DiagnosticError(loaded.diagnostics);
  return compileTraining(loaded, { model: null, set: {}, data: toyData().info, steps, resident: true, embedBatch: 24, target });
}

let device: Device;
beforeAll(async () => { device = await openCpuDevice({ threads: 2, exact: true }); });
afterAll(async () => { await device.close(); });

async function state(session: Session): Promise<Record<string, ArrayLike<number>>> {
  const values: Record<string, ArrayLike<number>> = {};
  for (const [name, s] of Object.entries(session.plan.sources)) if (s.role === 'parameters' || s.role === 'state') values[name] = await session.readSource(name);
  return values;
}

describe('a stage', () => {
  it('is in the manifest', () => {
    const { manifest } = compile(program(stages));
    expect(manifest.stages).toEqual([
      {
        name: 'look', period: { count: 3, unit: 'steps' }, entry: 'stage.look', passes: ['stage.look.over1'], resets: ['head'],
        writes: [{ name: 'assignment', source: 'table.assignment' }, { name: 'bank', source: 'table.bank' }, { name: 'centre', source: 'memory.centre' }, { name: 'codes', source: 'parameters' }],
      },
      { name: 'first', period: null, entry: 'stage.first', passes: [], resets: [], writes: [{ name: 'assignment', source: 'table.assignment' }] },
    ]);
  });

  it('computes what the interpreter computes, from its passes on', async () => {
    const compiled = compile(program(stages));
    const data = toyData();
    const session = await device.load(compiled.plan);
    session.write('clock.seed', Int32Array.of(3));
    session.write('clock.step', Int32Array.of(0));
    await session.run('init');
    const before = await state(session);
    const stage = compiled.manifest.stages[0];
    const result = await runStage({ session, manifest: compiled.manifest, split: data.train, binding: bindInputs(compiled.manifest, data.info) }, stage, 6);

    // The rows, one batch of everything.
    const x = data.train.input('x');
    const pass = compiled.programs['stage.look.over1'];
    const rows: number[] = [];
    for (let from = 0; from < 64; from += 24) {
      const inputs: Record<string, Float64Array> = {};
      for (const t of pass.tensors) {
        if (t.kind !== 'source') continue;
        inputs[t.name] = t.name in before ? Float64Array.from(before[t.name]) : new Float64Array(sizeOf(t.shape));
        if (t.name === 'embed.x') inputs[t.name] = Float64Array.from({ length: sizeOf(t.shape) }, (_, i) => x[from * 16 + i] ?? 0);
      }
      rows.push(...(interpret(pass, inputs).outputs.get('rows') ?? []).slice(0, 5 * Math.min(24, 64 - from)));
    }
    const main = compiled.programs['stage.look'];
    const inputs: Record<string, Float64Array> = {};
    for (const t of main.tensors) {
      if (t.kind !== 'source') continue;
      inputs[t.name] = t.name === 'clock.step' ? Float64Array.of(6) : t.name === 'clock.seed' ? Float64Array.of(3) : t.name === 'stage.look.over1' ? Float64Array.from(rows) : Float64Array.from(before[t.name] ?? []);
    }
    const expected = interpret(main, inputs).sources;
    const after = await state(session);
    expect(main.updates.map((u) => main.tensors[u.source]).map((t) => (t.kind === 'source' ? t.name : '')).sort()).toEqual(['memory.centre', 'parameters', 'state.optimizer.m', 'state.optimizer.v', 'table.assignment', 'table.bank']);
    for (const name of Object.keys(before)) Array.from(expected.get(name) ?? before[name]).forEach((v, i) => expect(Math.abs(after[name][i] - v), `${name}[${i}]`).toBeLessThan(1e-4 * Math.max(1, Math.abs(v))));

    // The head is drawn anew, by the step; f is as it was; codes moved by one; the mean is the mean of the rows.
    const at = (path: string): { offset: number; size: number } => { const p = compiled.manifest.parameters.find((q) => q.path === path); return { offset: p?.offset ?? -1, size: sizeOf(p?.shape ?? [0]) }; };
    const read = (from: ArrayLike<number>, path: string): number[] => Array.from(from).slice(at(path).offset, at(path).offset + at(path).size);
    expect(read(after['parameters'], 'f.linear1.w')).toEqual(read(before['parameters'], 'f.linear1.w'));
    expect(read(after['parameters'], 'head.w')).not.toEqual(read(before['parameters'], 'head.w'));
    read(after['parameters'], 'codes').forEach((v, i) => expect(v).toBeCloseTo(read(before['parameters'], 'codes')[i] + 1, 5));
    for (let d = 0; d < 5; d++) expect(after['memory.centre'][d]).toBeCloseTo(Array.from({ length: 64 }, (_, n) => rows[5 * n + d]).reduce((a, b) => a + b) / 64, 4);

    const assignment = await session.readSource('table.assignment');
    expect(result.artifacts[0]).toEqual({
      name: 'assignment', entries: 64, changed: [...assignment].filter((v) => v !== 0).length,
      sha256: createHash('sha256').update(new Uint8Array(assignment.buffer, assignment.byteOffset, assignment.byteLength)).digest('hex'),
    });
    await session.close();
  });

  it('is due before the first step and at each period, or once', () => {
    const { manifest } = compile(program(stages));
    const due = (step: number): string[] => dueStages(manifest.stages, step, 8).map((s) => s.name);
    expect([0, 1, 2, 3, 6, 7].map(due)).toEqual([['look', 'first'], [], [], ['look'], ['look'], []]);
    const epochs = manifest.stages.map((s) => ({ ...s, period: { count: 2, unit: 'epochs' as const } }));
    expect([0, 8, 16].map((step) => dueStages(epochs, step, 8).length)).toEqual([2, 0, 2]);
  });

  it('resets the head to what it was, when that was drawn at the same step', async () => {
    const compiled = compile(program('  stage again once { reset head }'));
    const session = await device.load(compiled.plan);
    session.write('clock.seed', Int32Array.of(3));
    session.write('clock.step', Int32Array.of(0));
    await session.run('init');
    const before = await state(session);
    await session.run('stage.again');
    expect((await state(session))['parameters']).toEqual(before['parameters']);
    await session.close();
  });
});

describe('a run with stages', () => {
  it('that is interrupted and resumed is bit for bit the one that is not', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sslc-stages-'));
    try {
      const compiled = compile(program(stages));
      const run = async (name: string, resume: boolean, stopAt: number | null): Promise<void> => {
        const session = await device.load(compiled.plan);
        const stop = new AbortController();
        await train({
          compiled, session, data: toyData(), directory: join(folder, name), seed: 5, resume, signal: stop.signal,
          events: (e) => { if (e.kind === 'step' && e.step === stopAt) stop.abort(); },
        });
        await session.close();
      };
      await run('whole', false, null);
      // Steps 3 and 6 stand before a stage: the checkpoint is older than it.
      await run('parts', false, 3);
      await run('parts', true, 6);
      await run('parts', true, 7);
      await run('parts', true, null);
      const final = (name: string): ReadonlyMap<string, unknown> => { const path = latestCheckpoint(join(folder, name))?.path ?? ''; return decodeSafetensors(readFileSync(path), path).tensors; };
      expect(final('parts')).toEqual(final('whole'));
      expect(final('whole').has('table.assignment')).toBe(true);
      const lines = (name: string): unknown[] => readMetrics(join(folder, name)).filter((l) => l.kind === 'step' || l.kind === 'stage').map((l) => (l.kind === 'stage' ? { ...l, seconds: 0 } : l));
      expect(lines('parts')).toEqual(lines('whole'));
      expect(readMetrics(join(folder, 'whole')).flatMap((l) => (l.kind === 'stage' ? [`${l.name}@${l.step}`] : []))).toEqual(['look@0', 'first@0', 'look@3', 'look@6', 'look@9']);
      const facts = await readFacts(latestCheckpoint(join(folder, 'whole'))?.path ?? '');
      expect(facts.stages).toMatch(/^look@9 assignment [0-9a-f]{64} bank [0-9a-f]{64} centre [0-9a-f]{64} codes [0-9a-f]{64}; first@0 assignment [0-9a-f]{64}$/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('mistakes with stages and tables', () => {
  const code = (f: () => unknown): string => {
    try { f(); } catch (e) { if (e instanceof DiagnosticError) return e.diagnostics[0].code; throw e; }
    return 'none';
  };
  it.each([
    ['a value for every example where one is wanted', '  stage s once { centre <- f(x) }', 'SSL2003'],
    ['a table of the wrong size', '  stage s once { assignment <- codes }', 'SSL2003'],
    ['something that cannot be assigned', '  stage s once { f <- 1 }', 'SSL3002'],
    ['nothing to reset', '  stage s once { reset k }', 'SSL3002'],
    ['a pass over something else', '  stage s once { bank <- f(x) over codes }', 'SSL2001'],
    ['an unknown name', '  stage s once { nothing <- 1 }', 'SSL1001'],
    ['a period without a unit', '  stage s every 3 { reset head }', 'SSL2001'],
    ['over outside a stage', '  let z = f(x) over data', 'SSL3002'],
  ])('%s', (_, text, expected) => {
    expect(code(() => compile(program(text)))).toBe(expected);
  });

  it('a table in a layer, one without a row for each example, and a representation that needs an example number', () => {
    expect(code(() => compile(program('  table small: int[4] = 0')))).toBe('SSL2003');
    expect(code(() => compile(program('', 'f(x) + bank[id]')))).toBe('SSL3011');
    expect(code(() => compile(program('').replace('x |> flatten', 'x |> flatten |> owner').replace('layer pixels', 'layer owner(x: [N]) { table t: [N] = 0\n x + t }\nlayer pixels')))).toBe('SSL3002');
  });
});
