/** A batch in chunks on the CPU target: whole steps against the interpreter, going on from saved state, and the memory it takes. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCpuDevice } from '../../runtime/device/cpu/open-cpu-device.js';
import type { Device, HostArray, Session } from '../../runtime/device/device.js';
import { memorySplit, type DataSet } from '../../runtime/data/data-set.js';
import { bindInputs } from '../../runtime/evaluate/embed.js';
import { createFeed } from '../../runtime/train/feed.js';
import { runStep } from '../../runtime/train/run-step.js';
import { exactOptions } from '../wasm/harness.js';
import { batch, chunkedModels, compile, expectSameSteps, titleOf } from './steps.js';
import type { SmallModel } from './steps.js';

const chunks = 3;
const [chunked] = chunkedModels;

describe('a virtual batch', () => {
  let device: Device;
  beforeAll(async () => { device = await openCpuDevice({ threads: 2, exact: true }); });
  afterAll(async () => { await device.close(); });

  it.each(chunkedModels.map((m) => [titleOf(m), m] as const))('agrees with the interpreter: %s', async (_, m) => {
    await expectSameSteps(device, compile(m, exactOptions), m);
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

  it('sends a chunk of streamed inputs at a time, and learns the same', async () => {
    const small = { ...chunked, set: { ...chunked.set, channels: '1' } };
    const step = async (resident: boolean): Promise<readonly HostArray[]> => {
      const compiled = compile(small, exactOptions, resident);
      const { sources } = compiled.plan;
      expect([...['data.x', 'chunk.x', 'batch.x'].map((name) => (sources[name] as { shape: readonly number[] } | undefined)?.shape[0] ?? 0)]).toEqual(resident ? [chunks * batch, 0, 0] : [0, batch, 0]);
      const session = await device.load(compiled.plan);
      const data: DataSet = {
        info: { examples: 12, classes: null, inputs: compiled.manifest.inputs }, train: memorySplit(12, { x: Uint8Array.from({ length: 12 * 256 }, (_, i) => (97 * i) % 256) }, null),
        test: null, classNames: null, paired: false, skipped: { count: 0, names: [] }, warnings: [], description: '',
      };
      const feed = createFeed(session, compiled.manifest, data, bindInputs(compiled.manifest, data.info), 7);
      await session.run('init');
      await feed.write(1);
      await runStep(session, compiled.manifest, feed.send);
      const found: HostArray[] = [];
      for (const [name, s] of Object.entries(sources)) if (s.role === 'parameters' || s.role === 'state') found.push((await session.readSource(name)).slice());
      await session.close();
      return found;
    };
    expect(await step(false)).toEqual(await step(true));
  }, 120_000);

  describe('takes the memory of a chunk', () => {
    const peak = (set: Record<string, string>): number => {
      const m: SmallModel = { name: 'simclr', inputs: ['x'], channels: 1, examples: 64, set: { width: '8', hidden: '8', channels: '4', ...set } };
      return Math.max(...Object.entries(compile(m, exactOptions).plan.entries).flatMap(([name, e]) => (['encode', 'step', 'backward', 'update'].includes(name) ? [e.peakBytes] : [])));
    };
    const small = peak({});
    it.each([chunks, 8])('and the embeddings of %i chunks', (count) => {
      // Outputs of `f` and `g` for two views, their gradients, and what the loss holds: a few kilobytes.
      expect(peak({ virtual_batch: `${count * batch}`, batch_norm: 'chunk' })).toBeLessThan(1.05 * small);
      expect(small).toBeGreaterThan(100_000);
    });
  });
});
