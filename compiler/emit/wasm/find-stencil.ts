/**
 * Finds stencils in products: an operand that depends on a position and a tap only through `stride * position + tap` (or less the
 * tap), along one axis or two, as in convolutions. A `filter` sums over the taps (a convolution, or its gradient for the input); a
 * `gradient` sums over the positions (its gradient for the weights). What else an operand computes does not matter.
 */
import type { ContractKernel } from '../../fuse/kernel.js';
import type { Scalar } from '../../tensor/scalar.js';
import { affineOf, indexVariables, operands } from '../../tensor/scalar.js';

/** One dimension of a stencil, by the axes of the kernel: the operand is read at `stride * position + sign * tap`; without a tap, at `position`. */
export interface Reach {
  readonly position: number;
  readonly tap: number | null;
  readonly sign: 1 | -1;
  readonly stride: number;
}

export interface Stencil {
  readonly kind: 'filter' | 'gradient';
  /** The operand that is read at shifted positions, and the other one. */
  readonly data: Scalar;
  readonly other: Scalar;
  /** Axes that only the shifted operand has, and only the other. */
  readonly dataAxes: readonly number[];
  readonly otherAxes: readonly number[];
  /** The two dimensions, the outer first, of which one at least has taps. */
  readonly reaches: readonly [Reach, Reach];
}

/** Most taps along a dimension of the stencils looked for. */
const mostTaps = 6;

export function findStencil(kernel: ContractKernel): Stencil | null {
  const sums = kernel.reduceExtents.map((_, i) => kernel.extents.length + i);
  const all = [...kernel.extents, ...kernel.reduceExtents];
  const tapsAmong = (axes: readonly number[]): readonly number[] => axes.filter((a) => all[a] > 1 && all[a] <= mostTaps);
  const wide = (axes: readonly number[]): readonly number[] => axes.filter((a) => all[a] > 1);
  const sides = [
    { data: kernel.left, other: kernel.right, dataAxes: kernel.rows, otherAxes: kernel.columns },
    { data: kernel.right, other: kernel.left, dataAxes: kernel.columns, otherAxes: kernel.rows },
  ];
  for (const side of sides) {
    const filter = reachesIn(side.data, all, wide(side.dataAxes), tapsAmong(sums));
    if (filter !== null) return { kind: 'filter', ...side, reaches: filter };
    const gradient = reachesIn(side.data, all, wide(sums), tapsAmong(side.dataAxes));
    if (gradient !== null) return { kind: 'gradient', ...side, reaches: gradient };
  }
  return null;
}

/** Two reaches of `root`, of different positions and taps, or one and a position beside it; null where there are neither. There are no more taps than positions: which is which follows from that alone. */
function reachesIn(root: Scalar, all: readonly number[], positions: readonly number[], among: readonly number[]): readonly [Reach, Reach] | null {
  const found: Reach[] = [];
  for (const tap of among) {
    for (const position of positions) {
      const shift = position === tap || all[tap] > all[position] ? null : shiftOf(root, position, tap);
      if (shift !== null) found.push({ position, tap, ...shift });
    }
  }
  if (found.length === 1) {
    const ordered = [...positions].sort((a, b) => a - b);
    const at = ordered.indexOf(found[0].position);
    const beside = ordered.at(at === ordered.length - 1 ? at - 1 : at + 1);
    if (ordered.length < 2 || beside === undefined) return null;
    found.push({ position: beside, tap: null, sign: 1, stride: 1 });
  }
  const [first, second] = found.sort((a, b) => a.position - b.position);
  return found.length === 2 && first.position !== second.position && first.tap !== second.tap ? [first, second] : null;
}

/** How `tap` shifts `position` wherever either occurs in `root`; null where one occurs in another way, or neither does. */
function shiftOf(root: Scalar, position: number, tap: number): Pick<Reach, 'sign' | 'stride'> | null {
  const signs = new Set<number>();
  const strides = new Set<number>();
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
      const { coefficients } = affineOf(at) ?? { coefficients: new Map<number, number>() };
      strides.add(coefficients.get(position) ?? 0);
      signs.add(coefficients.get(tap) ?? 0);
    }
  };
  walk(root);
  const [[sign], [stride]] = [[...signs], [...strides]];
  return signs.size === 1 && strides.size === 1 && (sign === 1 || sign === -1) && stride > 0 ? { sign, stride } : null;
}
