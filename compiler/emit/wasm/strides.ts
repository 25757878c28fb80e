/** How nodes change along a vector of four consecutive values of one variable. */
import type { Node } from './graph.js';

/**
 * Per node: 0 when all four lanes are equal, s when lane k is lane 0 plus k * s (i32), null when anything is possible. The
 * variable's first lane is always a multiple of four, which lets divisions by multiples of four be seen through.
 */
export class Strides {
  private readonly memo = new Map<Node, number | null>();

  /** `varying` lists variables that hold a vector of their own (accumulators), as a bit set. */
  constructor(readonly variable: Node | null, private readonly varying: number) {}

  of(node: Node): number | null {
    const mask = this.varying | (this.variable?.variables ?? 0);
    if ((node.variables & mask) === 0) return 0;
    const known = this.memo.get(node);
    if (known !== undefined) return known;
    const made = this.compute(node);
    this.memo.set(node, made);
    return made;
  }

  private compute(node: Node): number | null {
    switch (node.op) {
      case 'variable': return node === this.variable ? 1 : null;
      case 'linear': {
        let sum = 0;
        for (let i = 0; i < node.args.length; i++) {
          const s = this.of(node.args[i]);
          if (s === null) return null;
          sum += s * node.coefficients[i];
        }
        return sum;
      }
      case 'idiv': case 'mod': {
        const [x, d] = node.args;
        if (node.type === 'i32' && d.op === 'const' && d.value > 0 && d.value % 4 === 0 && this.of(x) === 1 && this.aligned(x)) return node.op === 'idiv' ? 0 : 1;
        return this.same(node);
      }
      default: return this.same(node);
    }
  }

  /** An operation on equal lanes gives equal lanes. */
  private same(node: Node): number | null {
    return node.args.every((a) => this.of(a) === 0) ? 0 : null;
  }

  /** Lane 0 of a node of stride 1 is a multiple of four. */
  private aligned(x: Node): boolean {
    if (x === this.variable) return true;
    if (x.op === 'mod') return x.args[1].op === 'const' && x.args[1].value % 4 === 0 && this.of(x.args[0]) === 1 && this.aligned(x.args[0]);
    if (x.op !== 'linear' || x.value % 4 !== 0) return false;
    return x.args.every((a, i) => x.coefficients[i] % 4 === 0 || (x.coefficients[i] === 1 && this.of(a) === 1 && this.aligned(a)));
  }
}
