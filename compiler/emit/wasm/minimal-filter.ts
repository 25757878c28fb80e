/**
 * Minimal filtering of convolutions and their gradients: a filter of few taps in two dimensions is one of a line in each
 * (`line-filter.ts`). Lavin and Gray, 2016, arXiv:1509.09308:
 *
 *     result = output' [(kernel g kernel') * (input' d input)] output        * element by element, summed over channels
 *
 * The sum over channels is a matrix product at every point, over tiles of four positions in each direction a row: sixteen results
 * of three by three taps from 36 products where there are 144, from 81 at stride two. The gradient for the weights is the
 * adjoint in g, kernel' [(output dy output') * (input' d input)] kernel, summed over tiles.
 *
 * Exact algebra, but sums and differences of neighbours lose bits: errors are some eight times those of a direct sum in f32,
 * below 2e-6 of the largest sum of magnitudes of a result's terms (`test/wasm/filters.test.ts` holds that against float64).
 */
import { sizeAlong } from '../../tensor/program.js';
import type { ContractKernel } from '../../fuse/kernel.js';
import type { Reach, Stencil } from './find-stencil.js';
import { findStencil } from './find-stencil.js';
import type { LineFilter } from './line-filter.js';
import { lineFilter, pointsOfLine, productsOfLine } from './line-filter.js';
import { roundUp } from './panels.js';

/** A product that minimal filtering can do, with its sizes. */
export interface Filter {
  readonly stencil: Stencil;
  /** The two dimensions, the outer first. */
  readonly lines: readonly [LineFilter, LineFilter];
  /** Axes beside positions and taps: what there are many pictures of, and channels of the shifted operand and of the other. */
  readonly pictureAxes: readonly number[];
  readonly dataChannels: readonly number[];
  readonly otherChannels: readonly number[];
}

/** Bytes of a kernel's weights in all points beyond which they are not kept. */
const mostWeightBytes = 40 << 20;
/** Mapped weights beyond which they leave the cache before they are used, and how much longer they then take. */
const cachedBytes = 1 << 24;
const throughMemory = 6;
/** Channels below which maps of tiles take longer than the products. */
const fewestChannels = 16;
/** The part of the time of summing directly that it must not reach. */
const margin = 0.9;

/** Products of a pair of tiles, one in each dimension, at all points; taps of the filter. */
export const productsOf = ([down, across]: Filter['lines']): number => down.products.length * across.products.length;
export const tapsOf = ([down, across]: Filter['lines']): number => down.taps * across.taps;

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
  const lineOf = ({ position, tap, stride }: Reach): LineFilter | null => lineFilter(all[position], tap === null ? 1 : all[tap], stride);
  const [down, across] = stencil.reaches.map(lineOf);
  if (down === null || across === null) return null;
  const [C, O] = [sizeOf(dataChannels), sizeOf(otherChannels)];
  if (C % 4 !== 0 || O % 4 !== 0 || C < fewestChannels || O < fewestChannels) return null;
  // Tiles are ranges of positions, pictures first: the last two axes of whatever they are among.
  const before = filter ? pictureAxes : [];
  if (before.some((a) => a > stencil.reaches[0].position)) return null;
  if (filter && productsOf([down, across]) * C * roundUp(O, 16) * 4 > mostWeightBytes) return null;
  return { stencil, lines: [down, across], pictureAxes, dataChannels, otherChannels };
}

/** Whether filtering takes clearly fewer operations than summing directly. */
export function savesOperations(kernel: ContractKernel, { stencil, lines, pictureAxes, dataChannels, otherChannels }: Filter): boolean {
  const all = [...kernel.extents, ...kernel.reduceExtents];
  const [pictures, C, O] = [pictureAxes, dataChannels, otherChannels].map((axes) => sizeAlong(axes, all));
  const [products, points] = [productsOfLine, pointsOfLine].map((count) => pictures * count(lines[0]) * count(lines[1]));
  // A gradient's blocks of channels each map their tiles again.
  const again = (channels: number): number => (stencil.kind === 'filter' ? 1 : Math.ceil(channels / 128));
  const weights = C * O * productsOf(lines);
  // As multiply-adds, measured: products; maps of the data, of the results or the other operand, and of the weights.
  const minimal = 1.05 * products * C * O + 4 * (products * C * again(O) + points * O * again(C) + weights * (4 * weights > cachedBytes ? throughMemory : 1));
  return minimal < margin * pictures * lines[0].size * lines[1].size * C * O * tapsOf(lines);
}
