/** The GPU device and its sessions: fused programs with updates over several runs, host data, and named errors. */
import { afterAll, describe, expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import type { Program } from '../../compiler/tensor/program.js';
import { add, binary, cast, float, index, mul, sub } from '../../compiler/tensor/scalar.js';
import type { Device } from '../../runtime/device/device.js';
import { listAdapters } from '../../runtime/device/gpu/list-adapters.js';
import { openGpuDevice } from '../../runtime/device/gpu/open-gpu-device.js';
import { expectClose, numbers, origin } from '../kernels/tools.js';
import { openTestDevice, planOf, softwareOptions } from './harness.js';
import { elementwise } from './kernels.js';

const opened = await openTestDevice();
const reason = typeof opened === 'string' ? ` (skipped: ${opened})` : '';
const device = (): Device => {
  if (typeof opened === 'string') throw new Error(opened);
  return opened;
};

/** A step of gradient descent on sum((x w)^2) with weights and bias in one flat arena. */
function descent(): Program {
  const b = new ProgramBuilder('descent');
  const x = b.source('x', 'data', 'f32', [9, 5], origin('x'));
  const parameters = b.source('parameters', 'parameters', 'f32', [128], origin('parameters'));
  const w = b.window(parameters, 0, [7, 5], origin('w'));
  const bias = b.window(parameters, 64, [7], origin('bias'));
  const y = b.comprehension('f32', [9, 7], { op: 'sum', extents: [5] }, mul(b.read(x, [index(0), index(2)]), b.read(w, [index(1), index(2)])), origin('y'));
  const z = b.comprehension('f32', [9, 7], null, add(b.identity(y), b.read(bias, [index(1)])), origin('z'));
  const loss = b.comprehension('f32', [], { op: 'sum', extents: [9, 7] }, mul(b.read(z, [index(0), index(1)]), b.read(z, [index(0), index(1)])), origin('loss'));
  const gw = b.comprehension('f32', [7, 5], { op: 'sum', extents: [9] }, mul(b.read(z, [index(2), index(0)]), b.read(x, [index(2), index(1)])), origin('grad w'));
  const gb = b.comprehension('f32', [7], { op: 'sum', extents: [9] }, b.read(z, [index(1), index(0)]), origin('grad bias'));
  const gradients = b.pack([gw, gb], origin('gradients'));
  const next = b.comprehension('f32', [128], null, sub(b.identity(parameters), mul(float(0.02), b.identity(gradients))), origin('sgd'));
  b.output('loss', loss);
  b.update(parameters, next);
  return b.build();
}

describe.skipIf(typeof opened === 'string')(`sessions on an adapter${reason}`, () => {
  afterAll(() => device().close());

  it('a fused training step, run several times', async () => {
    const program = descent();
    const inputs = numbers(program, 5);
    const session = await device().load(planOf(fuse(program, { disabled: [], maxBindings: 8, target: 'wgsl' }), softwareOptions));
    for (const [name, data] of Object.entries(inputs)) session.write(name, data);
    let state: Readonly<Record<string, ArrayLike<number>>> = inputs;
    for (let step = 0; step < 6; step++) {
      const expected = interpret(program, state);
      await session.run('main');
      expectClose(await session.readOutput('main', 'loss'), Float64Array.from(expected.outputs.get('loss') ?? []), 1e-4, 'loss');
      state = { ...state, parameters: Float32Array.from(expected.sources.get('parameters') ?? []) };
    }
    expectClose(await session.readSource('parameters'), Float64Array.from(state['parameters']), 1e-4, 'parameters');
    await session.finish();
    await session.close();
  });

  it('host data: u8 examples that are not whole words, offsets, and what does not fit', async () => {
    const kernels = elementwise('pixels', [4, 5], 'f32', (b) => cast('f32', b.identity(b.source('pixels', 'data', 'u8', [4, 5], origin('pixels')))));
    const session = await device().load(planOf(kernels, softwareOptions));
    session.write('pixels', Uint8Array.from({ length: 20 }, (_, i) => i));
    session.write('pixels', Uint8Array.of(101, 102, 103, 104, 105), 5);
    session.write('pixels', Uint8Array.of(200), 13);
    await session.run('main');
    const expected = [0, 1, 2, 3, 4, 101, 102, 103, 104, 105, 10, 11, 12, 200, 14, 15, 16, 17, 18, 19];
    expect([...(await session.readOutput('main', 'out'))]).toEqual(expected);
    expect([...(await session.readSource('pixels'))]).toEqual(expected);
    expect(() => session.write('pixels', new Uint8Array(10), 15)).toThrow(/do not fit into `pixels`/);
    expect(() => session.write('pixel', new Uint8Array(1))).toThrow(/no source `pixel`; it has pixels/);
    await expect(session.run('step')).rejects.toThrow(/no entry `step`/);
    await session.close();
    await expect(session.run('main')).rejects.toThrow(/closed/);
  });

  it('a plan that needs more than the device has is an error with a name', async () => {
    const kernels = elementwise('large', [2], 'f32', (b) => binary('max', b.identity(b.source('x', 'data', 'f32', [2], origin('x'))), float(0)));
    const plan = planOf(kernels, softwareOptions);
    await expect(device().load({ ...plan, arenas: plan.arenas.map((a) => ({ ...a, bytes: 2 ** 45 })) })).rejects.toMatchObject({ event: 'out-of-memory' });
  });
});

it('an adapter that is not there is `unavailable`', async () => {
  await expect(openGpuDevice({ adapter: 'no such adapter' })).rejects.toMatchObject({ event: 'unavailable' });
});

it('doctor\'s facts are plain data and never throw', async () => {
  const facts = await listAdapters();
  expect(JSON.parse(JSON.stringify(facts))).toEqual(facts);
  expect(facts.adapters.length + facts.missing.length).toBeGreaterThan(0);
});
