/**
 * Products on matrix units. Dawn's null backend checks the text for the units of several adapters; where an adapter has units (lavapipe
 * from Mesa 26 on), the results are held to the interpreter's.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import fc from 'fast-check';
import type { MatrixUnit } from '../../compiler/api.js';
import { shapeKey } from '../../compiler/emit/measured-schedule.js';
import { candidateLabels } from '../../compiler/emit/wgsl/choose-schedule.js';
import type { WgslOptions } from '../../compiler/emit/wgsl/emit-wgsl.js';
import { scheduleContract } from '../../compiler/emit/wgsl/schedule.js';
import { fuse } from '../../compiler/fuse/fuse.js';
import { interpretKernels } from '../../compiler/fuse/interpret-kernels.js';
import type { ContractKernel, KernelProgram } from '../../compiler/fuse/kernel.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { differentiate } from '../../compiler/tensor/differentiate.js';
import type { TensorId } from '../../compiler/tensor/scalar.js';
import { binary, float, index, mul } from '../../compiler/tensor/scalar.js';
import type { Device } from '../../runtime/device/device.js';
import { openDawn, requestAdapter } from '../../runtime/device/gpu/dawn.js';
import { matrixFeature } from '../../runtime/device/gpu/matrix-units.js';
import { halved } from '../kernels/half.js';
import { numbers, origin } from '../kernels/tools.js';
import { nullDevice, sharedBytes } from '../pipeline/null-device.js';
import { compile } from '../pipeline/steps.js';
import { expectAgreement, gpuOptions, openTestDevice, planOf, runOn } from './harness.js';
import { convolution, product } from './kernels.js';

const unit = (element: 'f16' | 'f32', rows: number, columns: number, depth: number): MatrixUnit => ({ element, rows, columns, depth });
const withUnits = (lanes: number, ...shapes: readonly MatrixUnit[]): WgslOptions => ({ ...gpuOptions, subgroups: true, subgroupSize: lanes, maxWorkgroupInvocations: 1024, maxWorkgroupStorageBytes: 49152, matrixUnits: { lanes, shapes } });

/** As NVIDIA, Intel and Apple have them; the last one's subgroups vary in size. */
const adapters: readonly (readonly [string, WgslOptions])[] = [
  ['16x16x16', withUnits(32, unit('f16', 16, 16, 16), unit('f16', 16, 8, 16))],
  ['8x16x16', withUnits(16, unit('f16', 8, 16, 16))],
  ['8x8x8', withUnits(8, unit('f16', 8, 8, 8))],
  ['8x8x8 in f32, subgroups of several sizes', { ...withUnits(64, unit('f32', 8, 8, 8)), subgroupSize: undefined }],
];

const programs: readonly (readonly [string, () => KernelProgram])[] = [
  ['product nn', () => product(1, 64, 64, 64, 'nn')], ['product nt', () => product(2, 33, 40, 40, 'nt')], ['product tn', () => product(1, 70, 130, 300, 'tn')],
  ['product tt', () => product(3, 35, 70, 37, 'tt', false)], ['large product', () => product(1, 2048, 2048, 512, 'nt')], ['convolution', () => convolution(2, 9, 8, 40, 3, 1, 1)],
  ['strided convolution', () => convolution(3, 9, 5, 33, 3, 2, 1)], ['1x1 convolution', () => convolution(2, 8, 32, 32, 1, 1, 0)],
];

const contraction = ({ kernels }: KernelProgram): ContractKernel => {
  const found = kernels.find((k) => k.kind === 'contract');
  if (found?.kind !== 'contract') throw new Error('no contraction');
  return found;
};
/** The kernels with operands that may be rounded. */
const rounded = (program: KernelProgram): KernelProgram => ({ ...program, kernels: program.kernels.map((k) => (k.kind === 'contract' ? { ...k, half: true } : k)) });
const elementOf = (program: KernelProgram) => (id: number) => program.program.tensors[id].element;
/** The options with one schedule for the program's product. */
const scheduled = (program: KernelProgram, options: WgslOptions, label: string): WgslOptions => ({ ...options, schedules: { [shapeKey(contraction(program), elementOf(program))]: label } });
const labelsOf = (program: KernelProgram, options: WgslOptions): readonly string[] => candidateLabels(contraction(program), options).filter((l) => l.includes('matrices'));

describe('which products', () => {
  const [, options] = adapters[0];
  it('have operands that may be rounded, and enough rows, columns and steps', () => {
    const kind = (program: KernelProgram): string => scheduleContract(contraction(program), options).kind;
    expect(kind(rounded(product(1, 512, 512, 512, 'nt')))).toBe('matrices');
    expect(kind(product(1, 512, 512, 512, 'nt'))).toBe('tiles');
    expect(kind(rounded(product(1, 512, 16, 512, 'nt')))).not.toBe('matrices');
    expect(kind(rounded(product(1, 512, 512, 16, 'nt')))).not.toBe('matrices');
    expect(scheduleContract(contraction(rounded(product(1, 512, 512, 512, 'nt'))), { ...options, software: true }).kind).not.toBe('matrices');
  });
  it('and blocks that are not mostly empty', () => {
    const schedule = scheduleContract(contraction(rounded(product(1, 65536, 36, 512, 'nt'))), options);
    expect(schedule).toMatchObject({ kind: 'matrices', across: 2, columns: 1 });
  });
  it('are among those that are measured, beside the tiles of f32', () => {
    const labels = candidateLabels(contraction(rounded(product(1, 512, 512, 512, 'nt'))), options);
    expect(new Set(labels.map((l) => (JSON.parse(l) as { kind: string }).kind))).toEqual(new Set(['matrices', 'tiles', 'registers']));
    expect(labelsOf(product(1, 512, 512, 512, 'nt'), options)).toEqual([]);
  });
});

describe('the null backend', () => {
  let device: GPUDevice;
  beforeAll(async () => {
    const adapter = await requestAdapter(await openDawn({ backend: 'null', adapter: null }));
    if (adapter === null) throw new Error('no null backend');
    const has = (f: string): f is GPUFeatureName => adapter.features.has(f);
    device = await adapter.requestDevice({ requiredFeatures: ['subgroups', 'shader-f16', matrixFeature].filter(has) });
  });
  afterAll(() => device.destroy());

  it.each(adapters)('accepts the modules for units of %s', async (_name, options) => {
    let checked = 0;
    for (const [name, build] of programs) {
      const program = rounded(halved(build()));
      for (const label of labelsOf(program, options)) {
        const { code } = planOf(program, scheduled(program, options, label));
        if (code.target !== 'wgsl') throw new Error('not WGSL');
        const [text] = Object.values(code.modules).filter((t) => t.includes('subgroupMatrixMultiplyAccumulate'));
        expect(text, `${name} ${label}`).toBeDefined();
        expect(sharedBytes(text), `${name} ${label}`).toBeLessThanOrEqual(options.maxWorkgroupStorageBytes);
        device.pushErrorScope('validation');
        device.createShaderModule({ code: text });
        const error = await device.popErrorScope();
        if (error !== null) expect.fail(`${name} ${label}: ${error.message}\n${text}`);
        checked++;
      }
    }
    expect(checked).toBeGreaterThan(20);
  });
});

it('the null backend accepts a whole step in mixed precision, most of whose products are on units', async () => {
  const [, options] = adapters[0];
  const { plan } = compile({ name: 'simclr', inputs: ['x'], channels: 1, side: 32, set: { width: '64', hidden: '64', channels: '32', precision: 'f16' } }, { ...options, half: true, maxBindings: 10 });
  if (plan.code.target !== 'wgsl') throw new Error('not WGSL');
  const { modules } = plan.code;
  const step = plan.entries['step'].launches;
  const onUnits = step.filter((l) => modules[l.kernel].includes('subgroupMatrixMultiplyAccumulate'));
  expect(onUnits.length).toBeGreaterThan(step.filter((l) => l.class === 'contract').length / 2);
  const opened = await nullDevice(['shader-f16', matrixFeature]);
  for (const { kernel } of step) {
    opened.device.pushErrorScope('validation');
    opened.device.createShaderModule({ code: modules[kernel] });
    const error = await opened.device.popErrorScope();
    if (error !== null) expect.fail(`${kernel}: ${error.message}`);
  }
  opened.close();
}, 60_000);

const opened = await openTestDevice();
const units = typeof opened === 'string' ? undefined : opened.limits.matrixUnits;
const reason = typeof opened === 'string' ? ` (skipped: ${opened})` : units === undefined ? ' (skipped: the adapter has no matrix units)' : '';

describe.skipIf(units === undefined)(`on an adapter with matrix units${reason}`, () => {
  let device: Device;
  let options: WgslOptions;
  beforeAll(() => {
    if (typeof opened === 'string') return;
    device = opened;
    options = { ...gpuOptions, ...opened.limits, software: false };
  });
  afterAll(() => device.close());

  /** The smallest block: lavapipe takes minutes to compile large ones. */
  const small = (program: KernelProgram, buffers: 1 | 2): string => labelsOf(program, options).filter((l) => l.includes('"rows":2,"columns":2,') && l.includes(`"buffers":${buffers}`)).slice(-1)[0];

  it.each(programs.filter(([name]) => name !== 'large product'))('%s', async (_name, build) => {
    const program = rounded(halved(build()));
    await expectAgreement(device, program, numbers(program.program, 7), scheduled(program, options, small(program, 1)), 1e-3);
  }, 120_000);

  it('with the next steps read ahead', async () => {
    const program = rounded(halved(product(2, 40, 36, 300, 'nt')));
    await expectAgreement(device, program, numbers(program.program, 7), scheduled(program, options, small(program, 2)), 1e-3);
  }, 120_000);

  it('operands that are kept in f32 and computed on the way are rounded once', async () => {
    const program = rounded(product(1, 64, 70, 130, 'nt'));
    await expectAgreement(device, program, numbers(program.program, 3), scheduled(program, options, small(program, 1)), 4e-3);
  });

  it('a network and its gradients in mixed precision', async () => {
    const b = new ProgramBuilder('network');
    const source = (name: string, role: 'data' | 'parameters', ...shape: number[]) => b.source(name, role, 'f32', shape, origin(name));
    const [x, first, second] = [source('x', 'data', 96, 64), source('first', 'parameters', 80, 64), source('second', 'parameters', 48, 80)];
    const layer = (input: TensorId, weights: TensorId, rows: number, columns: number, inner: number, name: string) =>
      b.comprehension('f32', [rows, columns], { op: 'sum', extents: [inner] }, mul(b.read(input, [index(0), index(2)]), b.read(weights, [index(1), index(2)])), origin(name));
    const hidden = b.comprehension('f32', [96, 80], null, binary('max', b.identity(layer(x, first, 96, 80, 64, 'hidden')), float(0)), origin('relu'));
    const y = layer(hidden, second, 96, 48, 80, 'y');
    const loss = b.comprehension('f32', [], { op: 'sum', extents: [96, 48] }, mul(float(1e-3), mul(b.read(y, [index(0), index(1)]), b.read(y, [index(0), index(1)]))), origin('loss'));
    differentiate(b, loss, [first, second]).forEach((g, i) => b.output(`gradient ${i}`, g));
    b.output('loss', loss);
    const program = fuse(b.build(), { disabled: [], maxBindings: 8, target: 'wgsl', half: true, manyCores: true });
    expect(program.kernels.filter((k) => k.kind === 'contract' && k.half === true).length).toBeGreaterThanOrEqual(4);
    const { code } = planOf(program, options);
    if (code.target !== 'wgsl') throw new Error('not WGSL');
    expect(Object.values(code.modules).filter((m) => m.includes('subgroupMatrixMultiplyAccumulate')).length).toBeGreaterThanOrEqual(3);
    // As a whole: rounding may turn a unit of the hidden layer on or off, which moves single elements.
    const inputs = numbers(program.program, 11);
    const found = await runOn(device, program, inputs, options);
    for (const [name, expected] of interpretKernels(program, inputs).outputs) {
      const length = (of: (e: number, i: number) => number): number => Math.sqrt([...expected].reduce((n, e, i) => n + of(e, i) ** 2, 0));
      expect(length((e, i) => (found.get(name)?.[i] ?? NaN) - e), name).toBeLessThan(0.01 * length((e) => e));
    }
  }, 240_000);

  it('generated products', async () => {
    const sizes = fc.record({ batch: fc.integer({ min: 1, max: 3 }), rows: fc.integer({ min: 1, max: 150 }), columns: fc.integer({ min: 1, max: 150 }), steps: fc.integer({ min: 1, max: 300 }) });
    await fc.assert(fc.asyncProperty(sizes, fc.constantFrom('nn', 'nt', 'tn', 'tt'), async ({ batch, rows, columns, steps }, layout) => {
      const program = rounded(halved(product(batch, rows, columns, steps, layout)));
      await expectAgreement(device, program, numbers(program.program, 5), scheduled(program, options, small(program, 1)), 1e-3);
    }), { numRuns: 6 });
  }, 240_000);
});
