/**
 * Minimal filtering: four results of a filter of three taps from six products where there are twelve, in two dimensions sixteen
 * from 36 where there are 144. Winograd, 1980; Lavin and Gray, 2016, arXiv:1509.09308, F(4x4, 3x3):
 *
 *     result = output' [(kernel g kernel') * (input' d input)] output        * element by element, summed over channels
 *
 * The sum over channels is 36 matrix products, over four positions in each direction a row. The gradient for the weights is the
 * adjoint in g, kernel' [(output dy output') * (input' d input)] kernel, summed over tiles.
 *
 * Exact algebra, but sums and differences of neighbours lose bits: errors are some eight times those of a direct sum in f32,
 * below 2e-6 of the largest sum of magnitudes of a result's terms (`test/wasm/filters.test.ts` holds that against float64).
 */
import { sizeAlong } from '../../tensor/program.js';
import type { ContractKernel } from '../../fuse/kernel.js';
import type { Stencil } from './find-stencil.js';
import { findStencil } from './find-stencil.js';
import type { Matrix } from './linear-maps.js';
import { roundUp } from './panels.js';

/** Results, and inputs, of a tile along a dimension. */
export const tileResults = 4;
export const tileInputs = 6;
/** Products of a tile. */
export const tilePoints = tileInputs * tileInputs;

/** By the points 0, 1, -1, 2, -2 and infinity. */
export const inputMap: Matrix = [
  [4, 0, -5, 0, 1, 0],
  [0, -4, -4, 1, 1, 0],
  [0, 4, -4, -1, 1, 0],
  [0, -2, -1, 2, 1, 0],
  [0, 2, -1, -2, 1, 0],
  [0, 4, 0, -5, 0, 1],
];
export const kernelMap: Matrix = [
  [1 / 4, 0, 0],
  [-1 / 6, -1 / 6, -1 / 6],
  [-1 / 6, 1 / 6, -1 / 6],
  [1 / 24, 1 / 12, 1 / 6],
  [1 / 24, -1 / 12, 1 / 6],
  [0, 0, 1],
];
export const outputMap: Matrix = [
  [1, 1, 1, 1, 1, 0],
  [0, 1, -1, 2, -2, 0],
  [0, 1, 1, 4, 4, 0],
  [0, 1, -1, 8, -8, 1],
];

/** A product that minimal filtering can do, with its sizes. */
export interface Filter {
  readonly stencil: Stencil;
  /** Positions, and tiles, along both dimensions. */
  readonly positions: readonly [number, number];
  readonly tiles: readonly [number, number];
  /** Axes beside positions and taps: what there are many pictures of, and channels of the shifted operand and of the other. */
  readonly pictureAxes: readonly number[];
  readonly dataChannels: readonly number[];
  readonly otherChannels: readonly number[];
}

/** Bytes of a kernel's weights in all points beyond which they are not kept. */
const mostWeightBytes = 1 << 26;
/** Channels below which maps of tiles take longer than the products. */
const fewestChannels = 16;
/** How much faster it must be, in counted operations, than summing directly. */
const margin = 0.8;

/** The filter that a product is; null where it is none that can be computed so. */
export function findFilter(kernel: ContractKernel): Filter | null {
  const all = [...kernel.extents, ...kernel.reduceExtents];
  const sizeOf = (axes: readonly number[]): number => sizeAlong(axes, all);
  if (sizeOf(kernel.batch) > 1) return null;
  const stencil = findStencil(kernel);
  if (stencil === null) return null;
  const used = stencil.reaches.flatMap((r) => [r.position, r.tap]);
  const sums = kernel.reduceExtents.map((_, i) => kernel.extents.length + i);
  const rest = (axes: readonly number[]): readonly number[] => axes.filter((a) => all[a] > 1 && !used.includes(a));
  const filter = stencil.kind === 'filter';
  const [dataChannels, otherChannels, pictureAxes] = filter ? [rest(sums), rest(stencil.otherAxes), rest(stencil.dataAxes)] : [rest(stencil.dataAxes), rest(stencil.otherAxes), rest(sums)];
  const [down, across] = stencil.reaches.map((r) => all[r.position]);
  const tiles = [Math.ceil(down / tileResults), Math.ceil(across / tileResults)] as const;
  const [C, O] = [sizeOf(dataChannels), sizeOf(otherChannels)];
  if (C % 4 !== 0 || O % 4 !== 0 || C < fewestChannels || O < fewestChannels) return null;
  // Tiles are ranges of positions, pictures first: the last two axes of whatever they are among.
  const before = filter ? pictureAxes : [];
  if (before.some((a) => a > stencil.reaches[0].position)) return null;
  if (filter && tilePoints * C * roundUp(O, 16) * 4 > mostWeightBytes) return null;
  return { stencil, positions: [down, across], tiles, pictureAxes, dataChannels, otherChannels };
}

/** Whether filtering takes clearly fewer operations than summing directly. */
export function savesOperations(kernel: ContractKernel, { stencil, positions, tiles, pictureAxes, dataChannels, otherChannels }: Filter): boolean {
  const all = [...kernel.extents, ...kernel.reduceExtents];
  const [pictures, C, O] = [pictureAxes, dataChannels, otherChannels].map((axes) => sizeAlong(axes, all));
  const T = pictures * tiles[0] * tiles[1];
  // A gradient's blocks of channels each map their tiles again.
  const again = (channels: number): number => (stencil.kind === 'filter' ? 1 : Math.ceil(channels / 64));
  // Multiply-adds and the like: products, then maps of the data, of the results or the other operand, and of the weights.
  const minimal = tilePoints * T * C * O * 1.15 + T * C * 480 * again(O) + T * O * 300 * again(C) + C * O * 300;
  return minimal < margin * pictures * positions[0] * positions[1] * C * O * 9;
}
