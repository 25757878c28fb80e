/** Finds what an objective's expression compares: the two sides of each energy call or difference, outermost first. */
import type { Expression } from '../../grammar/ast.js';

export interface Comparison {
  readonly sides: readonly [Expression, Expression];
  /** The comparison with these texts for its sides. */
  readonly show: (left: string, right: string) => string;
}

/** Comparisons of an expression; what lies inside a side is not looked at. */
export function comparisonsIn(e: Expression): Comparison[] {
  switch (e.kind) {
    case 'call': {
      const plain = e.arguments.filter((a) => a.name === null).map((a) => a.value);
      if (plain.length < 2) return e.arguments.flatMap((a) => comparisonsIn(a.value));
      const name = nameOf(e.callee);
      return [{ sides: [plain[0], plain[1]], show: (left, right) => `${name}(${[left, right, ...plain.slice(2).map(() => '...')].join(', ')})` }];
    }
    case 'binary':
      if (e.operator === '-' && mayBeTensor(e.left) && mayBeTensor(e.right)) {
        const inside = [...comparisonsIn(e.left), ...comparisonsIn(e.right)];
        return inside.length > 0 ? inside : [{ sides: [e.left, e.right], show: (left, right) => `${left} - ${right}` }];
      }
      return [...comparisonsIn(e.left), ...comparisonsIn(e.right)];
    case 'unary': return comparisonsIn(e.operand);
    case 'along': return (e.arguments ?? []).flatMap((a) => comparisonsIn(a.value));
    case 'pipe': return [...comparisonsIn(e.left), ...comparisonsIn(e.right)];
    case 'block': return e.result === null ? [] : comparisonsIn(e.result);
    default: return [];
  }
}

const mayBeTensor = (e: Expression): boolean => e.kind !== 'number' && e.kind !== 'boolean' && e.kind !== 'string';

function nameOf(callee: Expression): string {
  if (callee.kind === 'name') return callee.name;
  return callee.kind === 'call' ? `${nameOf(callee.callee)}(...)` : 'energy';
}
