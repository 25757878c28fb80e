/** How terms are reduced and weighted, what couples the examples of a batch, and what networks cost: read off the graph. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeModel } from '../../compiler/check/describe-model.js';
import type { ModelDescription } from '../../compiler/check/describe-model.js';
import { reductionText } from '../../compiler/check/term-reductions.js';
import { lineFinder } from '../../compiler/pipeline.js';
import { load } from '../lower/harness.js';

const folder = join(import.meta.dirname, '..', '..', 'models', 'vision');

function described(text: string, inputs: readonly (readonly [string, 'u8' | 'f32', readonly number[]])[], set: Record<string, string> = {}): ModelDescription {
  const loaded = load(text);
  return describeModel(loaded, { model: null, set, data: { examples: 1000, classes: null, inputs: inputs.map(([name, element, shape]) => ({ name, element, shape })) } }, lineFinder(loaded));
}

const bundled = (name: string, set: Record<string, string> = {}): ModelDescription => described(readFileSync(join(folder, `${name}.ssl`), 'utf8'), [['x', 'u8', [28, 28, 1]]], set);
const reductions = (d: ModelDescription): Record<string, string> => Object.fromEntries(d.terms.map((t) => [t.name, reductionText(t)]));

const own = (lines: string): ModelDescription => described(`use std.layers { linear, batch_norm }
model m(s: float = 3) {
  input x: [I]
  net f = linear(8)
  let u = f(x), v = f(2 * x)
  ${lines}
  represent f(x)
}
`, [['x', 'f32', [5]]], { batch: '16' });

describe('how a term is reduced and weighted', () => {
  it.each([
    ['simclr', { contrast: 'mean over 512 rows' }],
    ['moco_v2', { contrast: 'mean over the batch' }],
    ['byol', { agree: '2 parts, each -2 x mean over the batch; plus 4' }],
    ['simsiam', { agree: '2 parts, each -0.5 x mean over the batch' }],
    ['barlow_twins', { redundancy: 'sum over D (64); plus 0.0051 x sum over D (64) and D (64)' }],
    ['vicreg', {
      invariance: '25 x mean over the batch and N (64)',
      spread: '2 parts, each 12.5 x mean over D (64)',
      decorrelate: '2 parts, each 1/64 x sum over D (64) and D (64)',
    }],
  ])('in %s', (name, expected) => {
    expect(reductions(bundled(name, name === 'vicreg' || name === 'barlow_twins' ? { width: '64' } : {}))).toEqual(expected);
  });

  it.each([
    ['a sum of squares, each example by itself', 'sum[d]((u[d] - v[d])^2)', 'mean over the batch of the sum over out (8)'],
    ['constants are folded', '2 * (s * mean((u - v)^2) / 4) + 1', '1.5 x mean over the batch and out (8); plus 1'],
    ['a sign', '-mean[d](abs(u[d]))', '-1 x mean over the batch and out (8)'],
    ['a mean of those that count', 'mean[d where d > 2](abs(u[d] - v[d]))', 'mean over the batch and out (8)'],
    ['an inner product is one score', 'sum[d](u[d] * v[d])', 'mean over the batch'],
  ])('%s', (_, value, expected) => {
    expect(reductions(own(`minimize agree: ${value}`)).agree).toBe(expected);
  });
});

describe('what layers that look at the batch see', () => {
  it('one view at a time, or views together', () => {
    expect(bundled('moco_v2').batchPolicies).toEqual(['f', 'h', 'fk', 'hk'].map((network) => ({ network, layers: ['batch_norm'], together: 1 })));
    const lines = 'net g = linear(4) |> batch_norm\n  let z = g(joint(f(x), f(2 * x), f(3 * x)))\n  minimize agree: mean((z[0] - z[2])^2)';
    expect(own(lines).batchPolicies).toEqual([{ network: 'g', layers: ['batch_norm'], together: 3 }]);
    // One example's work, however many views go through together.
    const [one, three] = [own('net g = linear(4)\n  minimize agree: mean(g(u)^2)'), own(lines.replace(' |> batch_norm', ''))].map((d) => d.networks.find((n) => n.name === 'g'));
    expect(three).toEqual({ ...one, together: 3 });
  });
});

describe('what couples the examples of a batch', () => {
  const names = (d: ModelDescription): string[] => d.couplings.map((c) => `${c.name} ${c.count}`);

  it('batch norm of each layer once, whatever number of views, and the similarity', () => {
    expect(names(bundled('simclr'))).toEqual(['batch_norm 5', 'nt_xent 1']);
    expect(bundled('simclr').couplings[1].line).toMatch(/^energies\.ssl:\d+$/);
  });

  it('statistics of the batch', () => {
    expect(names(bundled('vicreg', { width: '64' }))).toEqual(['batch_norm 6', 'variance 2', 'covariance 2']);
    expect(names(bundled('barlow_twins', { width: '64' }))).toEqual(['batch_norm 6', 'barlow 1']);
  });

  it('the memory of earlier batches is told apart', () => {
    const moco = bundled('moco_v2');
    expect(names(moco)).toEqual(['batch_norm 10']);
    expect(moco.memories).toEqual(['queue']);
  });

  it('nothing where examples meet in the mean of the loss alone', () => {
    expect(own('minimize agree: mean((u - v)^2)').couplings).toEqual([]);
    expect(own('minimize agree: 3 - sum[d](u[d] * v[d]) / 2').couplings).toEqual([]);
  });

  it('a mean over the batch that is squared afterwards', () => {
    const d = own('fn centre(z: [B, D]) = mean[b](z[b, 0])\n  minimize small: centre(u)^2 + mean(v^2)');
    expect(d.couplings).toHaveLength(1);
  });

  it('views side by side are the same examples; their similarities are not', () => {
    const same = 'energy own(u: [B, D], v: [B, D]) -> [] {\n    let z = concat(u, v)\n    mean[i](sum[d]((z[i, d] - z[(i + B) % (2*B), d])^2))\n  }\n  ';
    expect(own(`${same}minimize agree: own(u, v)`).couplings).toEqual([]);
    const other = same.replace('(i + B) % (2*B)', '(i + 1) % (2*B)');
    expect(own(`${other}minimize agree: own(u, v)`).couplings).toHaveLength(1);
  });
});

describe('what networks hold and do', () => {
  it('a linear layer and a convolution, counted by hand', () => {
    const d = described(`use std.layers { linear, conv }
model m() {
  input x: [H, W, C]
  net f = conv(6, size: 3)
  net g = linear(7)
  minimize size: mean((g(f(x)) - 1)^2)
  represent f(x)
}
`, [['x', 'f32', [10, 8, 2]]], { batch: '4' });
    // 3 x 3 x 2 x 6 weights at 10 x 8 places; 6 x 7 weights and 7 biases at each place.
    expect(d.networks).toEqual([
      expect.objectContaining({ name: 'f', parameters: 108, multiplyAdds: 108 * 80, applications: 1 }),
      expect.objectContaining({ name: 'g', parameters: 49, multiplyAdds: 42 * 80, applications: 1 }),
    ]);
    expect(d.networks[1].flops).toBe(2 * 42 * 80 + 7 * 80);
  });

  it('ResNet-50 at 224 x 224: 25.6 M parameters and 4.1 G multiply-adds with its classifier (He et al., 2016; torchvision)', () => {
    const d = described(`use std.vision { resnet50 }
use std.layers { linear }
model m() {
  input x: u8[H, W, C]
  net f = resnet50(stem: "imagenet")
  net head = linear(1000)
  minimize size: mean((head(f(x)) - 1)^2)
  represent f(x)
}
`, [['x', 'u8', [224, 224, 3]]], { batch: '2' });
    const sum = (of: (n: ModelDescription['networks'][number]) => number): number => d.networks.reduce((n, x) => n + of(x), 0);
    expect(sum((n) => n.parameters)).toBe(25_557_032);
    expect(sum((n) => n.multiplyAdds) / 1e9).toBeCloseTo(4.09, 1);
  });
});
