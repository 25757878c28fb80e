/** A batch in chunks on the CPU target: whole steps against the interpreter, going on from saved state, and the memory it takes. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCpuDevice } from '../../runtime/device/cpu/open-cpu-device.js';
import type { Device, HostArray, Session } from '../../runtime/device/device.js';
import { runStep } from '../../runtime/train/run-step.js';
import { exactOptions } from '../wasm/harness.js';
import { batch, compile, expectSameSteps } from './steps.js';
import type { SmallModel } from './steps.js';

const chunks = 3;
const chunked: SmallModel = { name: 'moco_v2', inputs: ['x'], channels: 1, set: { width: '8', hidden: '8', keys: '12', channels: '2', virtual_batch: `${chunks * batch}`, batch_norm: 'chunk' } };

describe('a virtual batch', () => {
  let device: Device;
  beforeAll(async () => { device = await openCpuDevice({ threads: 2, exact: true }); });
  afterAll(async () => { await device.close(); });

  it('agrees with the interpreter, with a target and a queue', async () => {
    await expectSameSteps(device, compile(chunked, exactOptions), chunked);
  }, 120_000);

  it('goes on from its checkpointed state, bit for bit', async () => {
    const compiled = compile(chunked, exactOptions);
    const kept = Object.entries(compiled.plan.sources).flatMap(([name, s]) => (s.role === 'parameters' || s.role === 'state' ? [name] : []));
    const step = async (session: Session, number: number): Promise<void> => {
      const order = Int32Array.from({ length: chunks * batch }, (_, i) => (5 * i + number) % 12);
      session.write('clock.step', Int32Array.of(number));
      session.write('batch.order', order);
      session.write('batch.example', order);
      await runStep(session, compiled.manifest);
    };
    const open = async (): Promise<Session> => {
      const session = await device.load(compiled.plan);
      session.write('clock.seed', Int32Array.of(7));
      session.write('data.x', Uint8Array.from({ length: 12 * 16 * 16 }, (_, i) => (97 * i) % 256));
      return session;
    };
    const states = async (session: Session): Promise<readonly HostArray[]> => {
      const found: HostArray[] = [];
      for (const name of kept) found.push((await session.readSource(name)).slice());
      return found;
    };
    const first = await open();
    await first.run('init');
    await step(first, 0);
    const saved = await states(first);
    await step(first, 1);
    const second = await open();
    kept.forEach((name, k) => second.write(name, saved[k]));
    await step(second, 1);
    expect(await states(second)).toEqual(await states(first));
    await first.close();
    await second.close();
  }, 120_000);

  it('takes the memory of a chunk, and its embeddings', () => {
    const model = (set: Record<string, string>): SmallModel => ({ name: 'simclr', inputs: ['x'], channels: 1, set: { width: '8', hidden: '8', channels: '4', ...set } });
    const peak = (m: SmallModel): number => Math.max(...Object.entries(compile(m, exactOptions).plan.entries).flatMap(([name, e]) => (['encode', 'step', 'backward', 'update'].includes(name) ? [e.peakBytes] : [])));
    const small = peak(model({}));
    const inChunks = peak(model({ virtual_batch: `${chunks * batch}`, batch_norm: 'chunk' }));
    // Outputs of `f` and `g` for two views, their gradients, and what the loss holds: a few kilobytes.
    expect(inChunks).toBeLessThan(1.05 * small);
    expect(small).toBeGreaterThan(100_000);
  });
});
