/** Views keep their promises: shapes, ranges, identities at neutral settings, one draw per image, and grey images everywhere. */
import { expect, test } from 'vitest';
import { evaluateCall, load, type Given } from './harness.js';

const views = load('models/std/views.ssl');
const calls: readonly { readonly name: string; readonly set: Readonly<Record<string, string>>; readonly neutral: Readonly<Record<string, string>> | null }[] = [
  { name: 'random_resized_crop', set: { height: '6', width: '5' }, neutral: { height: '7', width: '6', area: '1..1' } },
  { name: 'crop', set: { size: '5', area: '0.3..0.9' }, neutral: null },
  { name: 'flip', set: {}, neutral: { p: '0' } },
  { name: 'affine', set: { turn: '0.5', zoom: '0.3' }, neutral: { turn: '0', zoom: '0', stretch: '0', move: '0' } },
  { name: 'shift', set: { pixels: '2' }, neutral: { pixels: '0' } },
  { name: 'erase', set: { size: '4', p: '1' }, neutral: { p: '0' } },
  { name: 'color_jitter', set: { p: '1' }, neutral: { p: '1', strength: '0' } },
  { name: 'grayscale', set: { p: '1' }, neutral: { p: '0' } },
  { name: 'solarize', set: { p: '1' }, neutral: { p: '0' } },
  { name: 'gaussian_blur', set: { p: '1', radius: '2' }, neutral: { p: '0' } },
];

/** A repeatable picture with values in 0..1. */
function picture(batch: number, channels: number): Given {
  const values = Array.from({ length: batch * 7 * 6 * channels }, (_, i) => (((i * 7919) % 101) + 0.5) / 102);
  return { shape: [batch, 7, 6, channels], values };
}

function run(name: string, set: Readonly<Record<string, string>>, x: Given, seed = 1): { shape: readonly number[]; values: number[] } {
  const out = evaluateCall(views, name, { x }, { set, seed }).outputs.get('out');
  return { shape: out?.shape ?? [], values: [...(out?.values ?? [])] };
}

test.each(calls.flatMap((c) => [1, 3].map((channels) => ({ ...c, channels }))))('$name on $channels channels', ({ name, set, neutral, channels }) => {
  const x = picture(2, channels);
  const y = run(name, set, x);
  expect(y.shape[0]).toBe(2);
  expect(y.shape[3]).toBe(channels);
  for (const v of y.values) { expect(v).toBeGreaterThanOrEqual(0); expect(v).toBeLessThanOrEqual(1); }
  expect(run(name, set, x).values).toEqual(y.values);
  if (neutral === null) return;
  run(name, neutral, x).values.forEach((v, i) => expect(v).toBeCloseTo(x.values[i], 6));
});

test('each image of a batch draws for itself', () => {
  const one = picture(1, 1);
  const x: Given = { shape: [8, 7, 6, 1], values: Array.from({ length: 8 }, () => one.values).flat() };
  const y = run('random_resized_crop', { height: '7', width: '6', area: '0.3..0.9' }, x).values;
  const images = new Set(Array.from({ length: 8 }, (_, k) => y.slice(k * 42, (k + 1) * 42).map((v) => v.toFixed(6)).join()));
  expect(images.size).toBe(8);
});

test('edges by direction: a step to the right counts for its direction alone, a constant for none', () => {
  const vision = load('models/std/vision.ssl');
  const edges = (value: (row: number, column: number) => number): number[] => {
    const x: Given = { shape: [6, 6, 1], values: Array.from({ length: 36 }, (_, i) => value(Math.floor(i / 6), i % 6)) };
    return [...(evaluateCall(vision, 'edge_directions', { x }, { set: { bins: '4', outside: '0.2' } }).outputs.get('out')?.values ?? [])];
  };
  for (const v of edges(() => 0.2)) expect(v).toBeCloseTo(0, 6);
  const at = (2 * 6 + 2) * 4;
  const right = edges((_, column) => (column < 3 ? 0.2 : 0.8)).slice(at, at + 4);
  expect(right[0]).toBeGreaterThan(0.3);
  for (const k of [1, 2, 3]) expect(right[k]).toBeCloseTo(0, 6);
  const down = edges((row) => (row < 3 ? 0.2 : 0.8)).slice(at, at + 4);
  expect(down[1]).toBeCloseTo(right[0], 6);
});

test('a blurred constant stays what it is, and blur keeps grey levels in range', () => {
  const x: Given = { shape: [1, 7, 6, 1], values: new Array<number>(42).fill(0.3) };
  for (const v of run('gaussian_blur', { p: '1' }, x).values) expect(v).toBeCloseTo(0.3, 6);
});

test('hue: a third of a turn moves red to green; no turn changes nothing', () => {
  const pixel: Given = { shape: [3], values: [0.9, 0.2, 0.1] };
  const turned = (turn: number): number[] => [...(evaluateCall(views, 'adjust_hue', { pixel, turn: { shape: [], values: [turn] } }).outputs.get('out')?.values ?? [])];
  turned(1 / 3).forEach((v, i) => expect(v).toBeCloseTo([0.1, 0.9, 0.2][i], 5));
  turned(0).forEach((v, i) => expect(v).toBeCloseTo(pixel.values[i], 6));
  turned(-1 / 3).forEach((v, i) => expect(v).toBeCloseTo([0.2, 0.1, 0.9][i], 5));
});

test('grey of a colour image is its luminance in all channels', () => {
  const x = picture(1, 3);
  const y = run('grayscale', { p: '1' }, x).values;
  for (let k = 0; k < y.length; k += 3) {
    const grey = 0.299 * x.values[k] + 0.587 * x.values[k + 1] + 0.114 * x.values[k + 2];
    for (const c of [0, 1, 2]) expect(y[k + c]).toBeCloseTo(grey, 6);
  }
});

test('normalize takes a number for each channel', () => {
  const x = picture(1, 3);
  const y = run('normalize', {}, x).values;
  expect(y[1]).toBeCloseTo((x.values[1] - 0.456) / 0.224, 6);
  expect(run('normalize', {}, picture(1, 1)).values[0]).toBeCloseTo((picture(1, 1).values[0] - 0.485) / 0.229, 6);
});
