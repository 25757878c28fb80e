/** How each reduction is kept in registers, updated with a value, and merged with another thread's part. */
import type { ReduceOperator } from '../../tensor/program.js';
import type { ScalarType } from '../../tensor/scalar.js';
import type { HelperName } from './functions.js';

export interface Component {
  readonly suffix: string;
  readonly type: ScalarType;
  readonly start: string;
}

export interface AccumulatorRule {
  readonly components: readonly Component[];
  /** Statements that take in `value`; `position` is the row-major place in the reduction. `a(k)` names component k. */
  readonly update: (a: (component: number) => string, value: string, position: string) => readonly string[];
  /** Statements that merge `b` into `a`. */
  readonly merge: (a: (component: number) => string, b: (component: number) => string) => readonly string[];
  /** Statements that merge the subgroup's lanes; all have the total then. */
  readonly across: (a: (component: number) => string) => readonly string[];
  readonly result: (a: (component: number) => string) => string;
  readonly helpers: readonly HelperName[];
}

const lowest = '-3.4028234e+38';
const highest = '3.4028234e+38';

/** The rule for `op` over bodies of `type`. */
export function accumulatorRule(op: ReduceOperator, type: ScalarType): AccumulatorRule {
  const simple = (component: Component, subgroup: string, join: (a: string, b: string) => string): AccumulatorRule => ({
    components: [component],
    update: (a, value) => [`${a(0)} = ${join(a(0), value)};`],
    merge: (a, b) => [`${a(0)} = ${join(a(0), b(0))};`],
    across: (a) => [`${a(0)} = ${subgroup}(${a(0)});`],
    result: (a) => a(0),
    helpers: [],
  });
  const zero = type === 'f32' ? '0.0' : '0';
  const asBool = (x: string): string => (type === 'bool' ? x : `(${x} != ${zero})`);
  switch (op) {
    case 'sum': return simple({ suffix: 'sum', type, start: zero }, 'subgroupAdd', (a, b) => `${a} + ${b}`);
    case 'prod': return simple({ suffix: 'product', type, start: type === 'f32' ? '1.0' : '1' }, 'subgroupMul', (a, b) => `${a} * ${b}`);
    case 'max': return simple({ suffix: 'largest', type, start: type === 'f32' ? lowest : 'i32(-2147483648)' }, 'subgroupMax', (a, b) => `max(${a}, ${b})`);
    case 'min': return simple({ suffix: 'smallest', type, start: type === 'f32' ? highest : '2147483647' }, 'subgroupMin', (a, b) => `min(${a}, ${b})`);
    case 'any': return {
      ...simple({ suffix: 'any', type: 'bool', start: 'false' }, 'subgroupAny', (a, b) => `${a} || ${b}`),
      update: (a, value) => [`${a(0)} = ${a(0)} || ${asBool(value)};`],
    };
    case 'all': return {
      ...simple({ suffix: 'all', type: 'bool', start: 'true' }, 'subgroupAll', (a, b) => `${a} && ${b}`),
      update: (a, value) => [`${a(0)} = ${a(0)} && ${asBool(value)};`],
    };
    case 'logsumexp': return {
      components: [{ suffix: 'peak', type: 'f32', start: lowest }, { suffix: 'mass', type: 'f32', start: '0.0' }],
      // One exponential a value: the mass is kept relative to the largest value so far.
      update: (a, value) => [
        `if (${value} > ${a(0)}) {`,
        `  ${a(1)} = ${a(1)} * exp_f32(${a(0)} - ${value}) + 1.0;`,
        `  ${a(0)} = ${value};`,
        `} else { ${a(1)} += exp_f32(${value} - ${a(0)}); }`,
      ],
      merge: (a, b) => [
        `if (${b(0)} > ${a(0)}) {`,
        `  ${a(1)} = ${a(1)} * exp_f32(${a(0)} - ${b(0)}) + ${b(1)};`,
        `  ${a(0)} = ${b(0)};`,
        `} else { ${a(1)} += ${b(1)} * exp_f32(${b(0)} - ${a(0)}); }`,
      ],
      across: (a) => ['{', `  let top = subgroupMax(${a(0)});`, `  ${a(1)} = subgroupAdd(${a(1)} * exp_f32(${a(0)} - top));`, `  ${a(0)} = top;`, '}'],
      result: (a) => `${a(0)} + log_f32(${a(1)})`,
      helpers: ['exp_f32', 'log_f32'],
    };
    case 'deviations': return {
      // Sums of x - shift and (x - shift)^2 about the first element, which keeps their difference from cancelling (Chan, Golub and LeVeque, 1983).
      components: ['shift', 'offset', 'squares', 'taken'].map((suffix): Component => ({ suffix, type: 'f32', start: '0.0' })),
      update: (a, value) => [
        `if (${a(3)} == 0.0) { ${a(0)} = ${value}; }`,
        `${a(1)} += ${value} - ${a(0)};`,
        `${a(2)} += (${value} - ${a(0)}) * (${value} - ${a(0)});`,
        `${a(3)} += 1.0;`,
      ],
      // Moved to the first part's shift; a part that has taken nothing adds nothing.
      merge: (a, b) => [
        `if (${a(3)} == 0.0) { ${a(0)} = ${b(0)}; }`,
        `${a(2)} += ${b(2)} + (${b(0)} - ${a(0)}) * (2.0 * ${b(1)} + ${b(3)} * (${b(0)} - ${a(0)}));`,
        `${a(1)} += ${b(1)} + ${b(3)} * (${b(0)} - ${a(0)});`,
        `${a(3)} += ${b(3)};`,
      ],
      across: (a) => [
        '{', `  let first = subgroupBroadcastFirst(${a(0)});`,
        `  ${a(2)} = subgroupAdd(${a(2)} + (${a(0)} - first) * (2.0 * ${a(1)} + ${a(3)} * (${a(0)} - first)));`,
        `  ${a(1)} = subgroupAdd(${a(1)} + ${a(3)} * (${a(0)} - first));`,
        `  ${a(3)} = subgroupAdd(${a(3)});`, `  ${a(0)} = first;`, '}',
      ],
      result: (a) => `max(${a(2)} - ${a(1)} * (${a(1)} / max(${a(3)}, 1.0)), 0.0)`,
      helpers: [],
    };
    case 'argmax': return {
      components: [{ suffix: 'best', type, start: type === 'f32' ? lowest : 'i32(-2147483648)' }, { suffix: 'place', type: 'i32', start: '2147483647' }],
      update: (a, value, position) => [
        `if (${value} > ${a(0)} || (${value} == ${a(0)} && ${position} < ${a(1)})) { ${a(0)} = ${value}; ${a(1)} = ${position}; }`,
      ],
      merge: (a, b) => [
        `if (${b(0)} > ${a(0)} || (${b(0)} == ${a(0)} && ${b(1)} < ${a(1)})) { ${a(0)} = ${b(0)}; ${a(1)} = ${b(1)}; }`,
      ],
      across: (a) => ['{', `  let top = subgroupMax(${a(0)});`, `  ${a(1)} = subgroupMin(select(2147483647, ${a(1)}, ${a(0)} == top));`, `  ${a(0)} = top;`, '}'],
      result: (a) => `select(${a(1)}, 0, ${a(1)} == 2147483647)`,
      helpers: [],
    };
  }
}
