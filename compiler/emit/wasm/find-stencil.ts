/**
 * Finds stencils in products: an operand that depends on a position and a tap only through `position + tap` (or `position - tap`),
 * along two axes, as in convolutions. A `filter` sums over the taps (a convolution, or its gradient for the input); a `gradient`
 * sums over the positions (its gradient for the weights). What else an operand computes does not matter.
 */
import type { ContractKernel } from '../../fuse/kernel.js';
import type { Scalar } from '../../tensor/scalar.js';
import { affineOf, indexVariables, operands } from '../../tensor/scalar.js';

/** One dimension of a stencil, by the axes of the kernel: the operand is read at `position + sign * tap`. */
export interface Reach {
  readonly position: number;
  readonly tap: number;
  readonly sign: 1 | -1;
}

export interface Stencil {
  readonly kind: 'filter' | 'gradient';
  /** The operand that is read at shifted positions, and the other one. */
  readonly data: Scalar;
  readonly other: Scalar;
  /** Axes that only the shifted operand has, and only the other. */
  readonly dataAxes: readonly number[];
  readonly otherAxes: readonly number[];
  /** The two dimensions, the outer first. */
  readonly reaches: readonly [Reach, Reach];
}

/** Taps along a dimension of the stencils looked for. */
export const taps = 3;

export function findStencil(kernel: ContractKernel): Stencil | null {
  const sums = kernel.reduceExtents.map((_, i) => kernel.extents.length + i);
  const all = [...kernel.extents, ...kernel.reduceExtents];
  const tapsAmong = (axes: readonly number[]): readonly number[] => axes.filter((a) => all[a] === taps);
  const sides = [
    { data: kernel.left, other: kernel.right, dataAxes: kernel.rows, otherAxes: kernel.columns },
    { data: kernel.right, other: kernel.left, dataAxes: kernel.columns, otherAxes: kernel.rows },
  ];
  for (const side of sides) {
    const filter = reachesIn(side.data, side.dataAxes, tapsAmong(sums));
    if (filter !== null) return { kind: 'filter', ...side, reaches: filter };
    const gradient = reachesIn(side.data, sums, tapsAmong(side.dataAxes));
    if (gradient !== null) return { kind: 'gradient', ...side, reaches: gradient };
  }
  return null;
}

/** Two reaches of `root`, of different positions and taps; null where there are not just two. */
function reachesIn(root: Scalar, positions: readonly number[], among: readonly number[]): readonly [Reach, Reach] | null {
  const found: Reach[] = [];
  for (const tap of among) {
    for (const position of positions) {
      const sign = position === tap ? null : signOf(root, position, tap);
      if (sign !== null) found.push({ position, tap, sign });
    }
  }
  const [first, second] = found.sort((a, b) => a.position - b.position);
  return found.length === 2 && first.position !== second.position && first.tap !== second.tap ? [first, second] : null;
}

/** The sign with which `tap` shifts `position` wherever either occurs in `root`; null where one occurs in another way, or neither does. */
function signOf(root: Scalar, position: number, tap: number): 1 | -1 | null {
  const signs = new Set<number>();
  const seen = new Set<Scalar>();
  /** Notes how a scalar that is not all index arithmetic of one read depends on the two; 0 stands for any other way. */
  const walk = (s: Scalar): void => {
    if (seen.has(s)) return;
    seen.add(s);
    if (s.kind === 'index' && (s.axis === position || s.axis === tap)) signs.add(0);
    if (s.kind !== 'read') { operands(s).forEach(walk); return; }
    if (s.otherwise !== null) walk(s.otherwise);
    for (const at of s.at) {
      const variables = indexVariables(at);
      if (!variables.has(position) && !variables.has(tap)) continue;
      const affine = affineOf(at);
      signs.add(affine?.coefficients.get(position) === 1 ? affine.coefficients.get(tap) ?? 0 : 0);
    }
  };
  walk(root);
  const [sign] = signs;
  return signs.size === 1 && (sign === 1 || sign === -1) ? sign : null;
}
