/** `--tune`: what is measured, who wins, and what is remembered; by a made-up clock, no kernel is timed. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { shapeKey } from '../../compiler/emit/measured-schedule.js';
import { isTunable } from '../../compiler/emit/wgsl/choose-schedule.js';
import { tunables, type Tunable } from '../../compiler/plan/tuning.js';
import type { Plan } from '../../compiler/plan/plan.js';
import { fuse } from '../../compiler/fuse/fuse.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import type { ElementType } from '../../compiler/tensor/scalar.js';
import { index, mul } from '../../compiler/tensor/scalar.js';
import { DeviceError, type Device, type Session } from '../../runtime/device/device.js';
import { readSchedules, scheduleCache, writeSchedules } from '../../runtime/tune/schedule-cache.js';
import { measureByClock, tuneKernels, type Tuned, type TuneOptions } from '../../runtime/tune/tune-kernels.js';
import { interpretKernels } from '../../compiler/fuse/interpret-kernels.js';
import { expectClose, numbers, origin } from '../kernels/tools.js';
import { exactOptions, planOf as cpuPlan, runOn, testDevice as cpuDevice } from '../wasm/harness.js';
import { expectAgreement, gpuOptions, lanesOptions, openTestDevice, planOf, softwareOptions, subgroupOptions } from '../wgsl/harness.js';
import { convolution, product, reduction, similarity } from '../wgsl/kernels.js';

const folder = mkdtempSync(join(tmpdir(), 'sslc-tune-'));
afterAll(() => rmSync(folder, { recursive: true }));

const made = { product: product(1, 64, 64, 64, 'nn'), rows: reduction('sum', 64, [512], 'rows'), pairs: similarity('contract', 64, 16) };
const all = tunables(made, gpuOptions);
const textOf = (plan: Plan): string => (plan.code.target === 'wgsl' ? Object.values(plan.code.modules).join('\n') : '');

/** A device on which a run of an entry takes what `times` says, by entry, and nothing is computed. */
function fakeDevice(): { readonly device: Pick<Device, 'load'>; readonly closed: () => number } {
  let closed = 0;
  const session = (plan: Plan): Session => ({
    plan, write: () => undefined, run: () => Promise.resolve(), readSource: () => Promise.reject(new Error('nothing')), readOutput: () => Promise.reject(new Error('nothing')),
    finish: () => Promise.resolve(), close: () => { closed++; return Promise.resolve(); },
  });
  return { device: { load: (plan) => Promise.resolve(session(plan)) }, closed: () => closed };
}

function run(times: (entry: string, turn: number) => number, options: Partial<TuneOptions> = {}, these: readonly Tunable[] = all): { readonly results: Promise<readonly Tuned[]>; readonly asked: string[] } {
  const asked: string[] = [];
  const turns = new Map<string, number>();
  const measure = (_: Session, entry: string, runs: number): Promise<number> => {
    asked.push(entry);
    turns.set(entry, (turns.get(entry) ?? 0) + 1);
    return Promise.resolve(runs * times(entry, turns.get(entry) ?? 0));
  };
  return { asked, results: tuneKernels(fakeDevice().device, these, { rounds: 3, measure, signal: new AbortController().signal, found: () => Promise.resolve(), ...options }) };
}

describe('what there is to measure', () => {
  it('has every schedule once, each as an entry of one plan, the largest kernel first', () => {
    expect(all.map((t) => t.title.replace(/ .*/, ''))).toHaveLength(3);
    for (const { entries, plan } of all) {
      expect(Object.keys(entries).length).toBeGreaterThan(1);
      expect(Object.values(entries)).toEqual(Object.keys(plan.entries));
    }
  });

  it('knows kernels by their shape, not by the names of their tensors', () => {
    const keyOf = (kernels: typeof made.product, element: ElementType = 'f32'): string => {
      const [kernel] = kernels.kernels;
      return isTunable(kernel) ? shapeKey(kernel, () => element) : '';
    };
    expect(keyOf(made.product, 'f16')).not.toBe(keyOf(made.product));
    expect(keyOf(product(1, 64, 64, 64, 'nn'))).toBe(keyOf(made.product));
    expect(keyOf({ ...made.product, name: 'other', kernels: made.product.kernels.map((k) => ({ ...k, name: '17_other' })) })).toBe(keyOf(made.product));
    expect(keyOf(product(1, 64, 64, 65, 'nn'))).not.toBe(keyOf(made.product));
    expect(keyOf(product(1, 64, 64, 64, 'nt'))).not.toBe(keyOf(made.product));
  });

  it('does not measure by itself what follows another in a workgroup', () => {
    const b = new ProgramBuilder('rows');
    const x = b.source('x', 'data', 'f32', [300, 400], origin('x'));
    const sum = b.comprehension('f32', [300], { op: 'sum', extents: [400] }, b.read(x, [index(0), index(1)]), origin('sum'));
    b.output('y', b.comprehension('f32', [300, 400], null, mul(b.read(x, [index(0), index(1)]), b.read(sum, [index(0)])), origin('y')));
    const rows = (disabled: readonly string[]) => fuse(b.build(), { disabled, maxBindings: 8, target: 'wgsl', manyCores: true, workgroup: { bytes: 32768, threads: 256, matrices: false } });
    expect(tunables({ rows: rows(['chains']) }, gpuOptions)).not.toEqual([]);
    expect(tunables({ rows: rows([]) }, gpuOptions)).toEqual([]);
  });

  it('gives a chosen schedule to the kernel, and passes over what it does not know', () => {
    const [{ key, entries, plan }] = all.filter((t) => t.title.includes('contract'));
    const other = Object.keys(entries)[2];
    const chosen = planOf(made.product, { ...gpuOptions, schedules: { [key]: other } });
    expect(textOf(chosen)).not.toBe(textOf(planOf(made.product, gpuOptions)));
    expect(textOf(plan)).toContain(textOf(chosen).split('\n').slice(2).join('\n').trim());
    for (const label of ['', '{"kind":"tiles"}', 'nonsense']) expect(textOf(planOf(made.product, { ...gpuOptions, schedules: { [key]: label } }))).toBe(textOf(planOf(made.product, gpuOptions)));
  });
});

describe('measuring', () => {
  it('lets the candidates take turns and takes the fastest turn', async () => {
    const [one] = all;
    const names = Object.values(one.entries);
    // The second is slow once and the fastest otherwise.
    const { results, asked } = run((entry, turn) => (entry === names[1] ? (turn === 4 ? 90 : 5) : 10), {}, [one]);
    const [result] = await results;
    expect(one.entries[result.winner]).toBe(names[1]);
    expect(result.gain).toBe(2);
    const rounds = asked.slice(2 * names.length);
    expect(rounds).toEqual([...names, ...names, ...names]);
  });

  it('keeps the cost model\'s schedule when none is clearly faster', async () => {
    const { results } = run((entry) => (entry === 'schedule 0' ? 10 : 9.9));
    for (const { winner, tunable, gain } of await results) expect([tunable.entries[winner], gain]).toEqual(['schedule 0', 1]);
  });

  it('tells of each winner at once, and ends when it is told to', async () => {
    const stop = new AbortController();
    const { results } = run(() => 1, { signal: stop.signal, found: (_, position) => { if (position === 1) stop.abort(); return Promise.resolve(); } });
    expect(await results).toHaveLength(2);
  });

  it('leaves out a kernel that the device refuses', async () => {
    const device = { load: (): Promise<Session> => Promise.reject(new DeviceError('validation', 'no')) };
    expect(await tuneKernels(device, all, { rounds: 1, measure: () => Promise.resolve(1), signal: new AbortController().signal, found: () => Promise.resolve() })).toEqual([]);
  });
});

describe('the cache of schedules', () => {
  const cache = scheduleCache({ XDG_CACHE_HOME: join(folder, 'cache') }, '1.0');
  const problems: string[] = [];
  const read = (device: string, of = cache): Readonly<Record<string, string>> => readSchedules(of, device, (p) => problems.push(p));

  it('remembers by device, driver included, and by compiler', async () => {
    expect(read('Acme 9 (driver 1.0)')).toEqual({});
    await writeSchedules(cache, 'Acme 9 (driver 1.0)', { a: 'one', b: 'two' });
    await writeSchedules(cache, 'Acme 9 (driver 1.0)', { b: 'three' });
    await writeSchedules(cache, 'Acme 9 (driver 2.0)', { a: 'four' });
    expect(read('Acme 9 (driver 1.0)')).toEqual({ a: 'one', b: 'three' });
    expect(read('Acme 9 (driver 2.0)')).toEqual({ a: 'four' });
    expect(read('Acme 9 (driver 3.0)')).toEqual({});
    expect(read('Acme 9 (driver 1.0)', { ...cache, compiler: '1.1' })).toEqual({});
    expect(problems).toEqual([]);
    expect(cache.path).toBe(join(folder, 'cache', 'sslc', 'schedules.json'));
  });

  it.each(['', '{', '[]', '{"format":"other"}', '{"format":"sslc schedules","compiler":"1.0","devices":{"x":[1]}}'])('warns of a file that is not ours and does not use it: %s', async (text) => {
    mkdirSync(dirname(cache.path), { recursive: true });
    writeFileSync(cache.path, text);
    problems.length = 0;
    expect(read('x')).toEqual({});
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(cache.path);
    await writeSchedules(cache, 'x', { a: 'one' });
    expect(JSON.parse(readFileSync(cache.path, 'utf8'))).toMatchObject({ devices: { x: { a: 'one' } } });
  });
});

describe('schedules of the CPU target', () => {
  const small = { product: product(2, 37, 21, 300, 'nt'), convolution: convolution(2, 12, 32, 32, 3, 1, 1), reduced: similarity('reduce', 150, 20), weighing: similarity('contract', 150, 20) };
  const found = tunables(small, exactOptions);
  const entriesOf = (what: keyof typeof small): readonly string[] => Object.keys(tunables({ kernels: small[what] }, exactOptions)[0].entries);

  it('are entries of one plan, the cost model\'s first, and what is chosen is emitted', () => {
    expect(found).toHaveLength(4);
    for (const { entries, plan } of found) {
      expect(Object.keys(entries).length).toBeGreaterThan(3);
      expect(Object.values(entries)).toEqual(Object.keys(plan.entries));
    }
    expect(entriesOf('convolution')[0]).toBe('{"kind":"filter","tiles":32}');
    expect(entriesOf('convolution').filter((l) => l.includes('panels'))).toHaveLength(1);
    const [{ key, entries }] = tunables({ kernels: small.product }, exactOptions);
    const [own, other] = Object.keys(entries);
    const code = (label: string): unknown => cpuPlan(small.product, { ...exactOptions, schedules: { [key]: label } }).code;
    expect(code(own)).toEqual(cpuPlan(small.product).code);
    expect(code(other)).not.toEqual(code(own));
    expect(code(other)).toEqual(code(other));
    for (const label of ['', '{"kind":"panels"}', 'nonsense']) expect(code(label)).toEqual(code(own));
  });

  it('do without minimal filtering where it is switched off', () => {
    const [{ entries }] = tunables({ kernels: small.convolution }, { ...exactOptions, disabled: ['filters'] });
    expect(Object.keys(entries).some((l) => l.includes('filter'))).toBe(false);
  });

  it.each(Object.keys(small) as (keyof typeof small)[])('all agree with the interpreter: %s', async (what) => {
    const kernels = small[what];
    const expected = interpretKernels(kernels, numbers(kernels.program, 7));
    const [{ key, entries }] = tunables({ kernels }, exactOptions);
    for (const label of Object.keys(entries)) {
      const outputs = await runOn(await cpuDevice(), kernels, numbers(kernels.program, 7), { ...exactOptions, schedules: { [key]: label } });
      for (const [name, values] of expected.outputs) expectClose(outputs.get(name), values, 1e-4, `${label} ${name}`);
    }
  }, 60_000);

  it('can be measured on the device', async () => {
    const results = await tuneKernels(await cpuDevice(), found, { rounds: 1, measure: measureByClock, signal: new AbortController().signal, found: () => Promise.resolve() });
    expect(results.map((r) => Object.keys(r.tunable.entries).includes(r.winner))).toEqual([true, true, true, true]);
  }, 60_000);
});

const opened = await openTestDevice();
describe.skipIf(typeof opened === 'string')(`schedules other than the cost model's, on an adapter${typeof opened === 'string' ? ` (skipped: ${opened})` : ''}`, () => {
  afterAll(async () => { if (typeof opened !== 'string') await opened.close(); });
  const small = { product: product(2, 37, 21, 33, 'nt'), pairs: similarity('contract', 37, 11), rows: reduction('logsumexp', 3, [70], 'rows') };
  const cases = [['software', { ...softwareOptions }], ['lanes', lanesOptions], ['subgroup', subgroupOptions]] as const;
  it.each(cases.flatMap(([name, options]) => Object.entries(small).flatMap(([what, kernels]) => (name === 'subgroup' && what === 'pairs' ? [] : [[name, what, kernels, options] as const]))))('%s: %s agrees with the interpreter', async (_name, _what, kernels, options) => {
    if (typeof opened === 'string') throw new Error(opened);
    for (const { key, entries } of tunables({ kernels }, options)) {
      for (const label of Object.keys(entries).slice(1, 3)) await expectAgreement(opened, kernels, numbers(kernels.program, 7), { ...options, schedules: { [key]: label } }, 1e-4);
    }
  }, 120_000);
});
