/** Blocks of scores that a mask leaves nothing of: found whatever the mask is written like, and left out on both targets. */
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import { interpretKernels } from '../../compiler/fuse/interpret-kernels.js';
import type { KernelProgram, OnlineKernel } from '../../compiler/fuse/kernel.js';
import { maskedBlocks, partLeft } from '../../compiler/fuse/masked-blocks.js';
import { costLaunches, totalCost } from '../../compiler/plan/cost.js';
import type { Scalar } from '../../compiler/tensor/scalar.js';
import { add, binary, boolean, int, sub, unary } from '../../compiler/tensor/scalar.js';
import type { HostArray } from '../../runtime/device/device.js';
import { expectClose, numbers } from '../kernels/tools.js';
import { exactOptions, expectAgreement, runOn, testDevice } from '../wasm/harness.js';
import { gpuOptions, expectAgreement as expectOnAdapter, openTestDevice, runOn as runOnAdapter, softwareOptions, lanesOptions } from '../wgsl/harness.js';
import { attention } from './attention.js';

type Mask = (query: Scalar, key: Scalar) => Scalar;

const causal: Mask = (i, j) => binary('le', j, i);
const masks: Readonly<Record<string, Mask>> = {
  causal,
  'nothing of itself': (i, j) => binary('lt', j, i),
  'later ones': (i, j) => binary('gt', j, add(i, int(2))),
  'not later ones': (i, j) => unary('not', binary('lt', add(i, int(7)), j)),
  'a band': (i, j) => binary('and', binary('le', j, i), binary('lt', sub(i, j), int(40))),
  'far ones': (i, j) => binary('or', binary('gt', sub(j, i), int(90)), binary('gt', sub(i, j), int(50))),
  all: () => boolean(true),
  'some of all': (i, j) => binary('ne', binary('mod', add(i, j), int(3)), int(0)),
};

const online = (kernels: KernelProgram): readonly OnlineKernel[] => kernels.kernels.filter((k) => k.kind === 'online');
const tokens = 1024;
const shape = [1, 2, tokens, tokens, 64] as const;

describe('masked blocks', () => {
  it('are half of those of a causal mask, but for the diagonal, in all kernels', () => {
    const kernels = online(fuse(attention(...shape, causal), exactOptions));
    expect(kernels.map((k) => k.combine.kind)).toContain('reduce');
    const blocks = tokens / 64;
    for (const k of kernels) expect(partLeft(k, 64), k.name).toBe((blocks * (blocks + 1)) / 2 / blocks ** 2);
  });

  it('are none without a mask, and none where it depends on more than comparisons of places', () => {
    const apart: Mask = (i, j) => binary('ne', i, j);
    for (const mask of [null, masks['some of all'], apart]) for (const k of online(fuse(attention(...shape, mask), exactOptions))) expect(maskedBlocks(k)).toBeNull();
  });

  it('are not counted as work', () => {
    const flops = (mask: Mask | null): number => {
      const kernels = fuse(attention(...shape, mask), exactOptions);
      return totalCost(costLaunches(kernels, kernels.launches, exactOptions)).flops;
    };
    expect(flops(causal)).toBeLessThan(0.57 * flops(null));
    expect(flops(masks['a band'])).toBeLessThan(0.2 * flops(null));
  });
});

/** So low that its exponential is zero beside another score, and not so low that sums of such scores are lost: some rows have no others. */
const lowScore = -200;
const sizes = fc.record({ rows: fc.integer({ min: 90, max: 230 }), columns: fc.integer({ min: 100, max: 300 }), width: fc.integer({ min: 1, max: 5 }), mask: fc.constantFrom(...Object.keys(masks)) });

/** Keys and values from `from` on are no numbers: what looks at them, even to weigh them by zero, gives none. */
function poisoned(kernels: KernelProgram, from: number, width: number, tokens: number): Record<string, HostArray> {
  const inputs = numbers(kernels.program, 5);
  for (const name of ['k', 'v']) inputs[name] = Float32Array.from(inputs[name], (x, at) => (Math.floor(at / width) % tokens >= from ? NaN : x));
  return inputs;
}

describe('on the CPU', () => {
  it('results are those of all pairs', async () => {
    await fc.assert(fc.asyncProperty(sizes, async ({ rows, columns, width, mask }) => {
      const kernels = fuse(attention(1, 2, rows, columns, width, masks[mask], lowScore), exactOptions);
      await expectAgreement(kernels, numbers(kernels.program, 3), 1e-4);
    }), { numRuns: 12 });
  });

  it('rows of no pair at all are the mean of all values', async () => {
    const kernels = fuse(attention(1, 1, 200, 300, 3, (i, j) => binary('lt', add(j, int(100)), i), lowScore), exactOptions);
    await expectAgreement(kernels, numbers(kernels.program, 3), 1e-4);
  });

  it('masked keys and values are not looked at', async () => {
    const kernels = fuse(attention(1, 2, 512, 512, 4, causal), exactOptions);
    const y = (await runOn(await testDevice(), kernels, poisoned(kernels, 256, 4, 512))).get('y');
    // The first task has 96 rows and streams 128 columns at a time.
    expect([...(y ?? [NaN])].slice(0, 96 * 2 * 4).every(Number.isFinite)).toBe(true);
  });
});

const opened = await openTestDevice();

describe.skipIf(typeof opened === 'string')(`on an adapter${typeof opened === 'string' ? `: ${opened}` : ''}`, () => {
  afterAll(async () => { if (typeof opened !== 'string') await opened.close(); });
  const targets = [['software', softwareOptions], ['lanes', lanesOptions]] as const;

  it.each(targets)('results are those of all pairs, schedules of %s', async (_, options) => {
    if (typeof opened === 'string') return;
    for (const mask of ['causal', 'nothing of itself', 'a band']) {
      const kernels = fuse(attention(1, 1, 140, 150, 4, masks[mask], lowScore), options);
      await expectOnAdapter(opened, kernels, numbers(kernels.program, 3), options, 1e-3);
    }
  });

  // lavapipe takes many seconds to compile a tiled kernel: one of each kind is run, and the null backend accepts the others (test/pipeline/attention.test.ts).
  it.each([...targets, ['GPU', gpuOptions] as const])('masked keys and values are not looked at, schedules of %s', async (_, options) => {
    if (typeof opened === 'string') return;
    const all = attention(1, 1, 128, 128, 4, causal);
    const kernels = fuse({ ...all, outputs: all.outputs.filter((o) => o.name === 'y') }, options);
    const expected = interpretKernels(kernels, numbers(kernels.program, 5)).outputs.get('y') ?? new Float64Array();
    const y = (await runOnAdapter(opened, kernels, poisoned(kernels, 64, 4, 128), options)).get('y') ?? [];
    expectClose(Array.from(y).slice(0, 32 * 4), expected.slice(0, 32 * 4), 1e-4, 'y');
  }, 120_000);
});
