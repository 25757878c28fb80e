/**
 * Scalars as the CPU target computes them: reads have become loads at byte addresses, integer sums are kept in one
 * normal form (a constant plus coefficients times terms), and equal nodes are one object. The normal form is what lets
 * flattened loops vectorize: `(c / n) * n + c mod n` becomes `c` again, and a load's stride along an axis can be read off.
 */
import type { ElementType, ScalarType } from '../../tensor/scalar.js';
import type { Local } from './binary.js';
import { HashTable, hashOfFloat, mix } from '../../tensor/hash-table.js';
import { scalarTypeOf } from '../../tensor/scalar.js';
import { bug } from '../../../grammar/diagnostics/report.js';

const operations = [
  'const', 'variable', 'base', 'linear', 'load', 'select', 'cast', 'philox', 'below',
  'neg', 'abs', 'exp', 'log', 'log1p', 'sqrt', 'sin', 'cos', 'tanh', 'erf', 'floor', 'ceil', 'round', 'not',
  'add', 'sub', 'mul', 'div', 'idiv', 'mod', 'pow', 'min', 'max', 'atan2',
  'lt', 'le', 'gt', 'ge', 'eq', 'ne', 'and', 'or',
] as const;

export type Operation = (typeof operations)[number];

const operationNumbers: ReadonlyMap<Operation, number> = new Map(operations.map((o, i) => [o, i]));

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export interface Node {
  readonly id: number;
  readonly op: Operation;
  readonly type: ScalarType;
  /** load: address [, guard, otherwise]; philox: counter 0..2, key 0..1; linear: the terms. */
  readonly args: readonly Node[];
  /** const: the value; variable: its number; base: the parameter; linear: the constant; philox: the lane. */
  readonly value: number;
  readonly coefficients: readonly number[];
  readonly element: ElementType;
  /** Bounds of an i32. */
  readonly low: number;
  readonly high: number;
  /** Bit n set: depends on variable n. Variables are numbered in the order their loops are entered. */
  readonly variables: number;
}

/** Numbers from here on belong to variables that share the bit of another. */
const manyVariables = 1 << 16;

/** Whether two nodes compute the same; their bounds follow from that. */
function same(a: Node, b: Node): boolean {
  return a.op === b.op && a.type === b.type && a.element === b.element && Object.is(a.value, b.value) && equalLists(a.args, b.args) && equalLists(a.coefficients, b.coefficients);
}

function equalLists<T>(a: readonly T[], b: readonly T[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** What most nodes have none of. */
const none: readonly never[] = [];

interface Fields { readonly value?: number; readonly coefficients?: readonly number[]; readonly element?: ElementType; readonly low?: number; readonly high?: number; readonly variables?: number }

const noFields: Fields = {};

const blankNode = (): Mutable<Node> => ({ id: 0, op: 'const', type: 'i32', args: none, value: 0, coefficients: none, element: 'f32', low: 0, high: 0, variables: 0 });

/** Adds `k` times a node to the terms of a sum, and gives the constant in it. */
function addTerm(nodes: Node[], factors: number[], node: Node, k: number): number {
  if (node.op === 'const') return node.value * k;
  if (node.op === 'linear') {
    let constant = node.value * k;
    for (let i = 0; i < node.args.length; i++) constant += addTerm(nodes, factors, node.args[i], node.coefficients[i] * k);
    return constant;
  }
  const at = nodes.indexOf(node);
  if (at >= 0) factors[at] += k;
  else {
    nodes.push(node);
    factors.push(k);
  }
  return 0;
}

export class Graph {
  private readonly known = new HashTable(same);
  private variableCount = 0;

  /** The node asked for, filled in anew until one is not known yet and kept: half of those asked for are known. */
  private asked = blankNode();

  private node(op: Operation, type: ScalarType, args: readonly Node[], { value = 0, coefficients = none, element = 'f32', low = -Infinity, high = Infinity, variables = 0 }: Fields = noFields): Node {
    const { asked } = this;
    let hash = mix(operationNumbers.get(op) ?? 0, hashOfFloat(value));
    for (const a of args) {
      variables |= a.variables;
      hash = mix(hash, a.id);
    }
    for (const c of coefficients) hash = mix(hash, c);
    asked.id = this.known.size;
    asked.op = op;
    asked.type = type;
    asked.args = args;
    asked.value = value;
    asked.coefficients = coefficients;
    asked.element = element;
    asked.low = low;
    asked.high = high;
    asked.variables = variables;
    const node = this.known.at(this.known.add(asked, hash));
    if (node === asked) this.asked = blankNode();
    return node;
  }

  /** A new variable, bound later by a loop or an assignment. Make them in the order they are bound. */
  variable(type: ScalarType, low = -Infinity, high = Infinity): Node {
    const n = this.variableCount++;
    if (n > 30) return bug('a kernel with more than 31 loop variables');
    return this.node('variable', type, none, { value: n, low, high, variables: 1 << n });
  }

  /** Variables that are bound and unbound together, so that they need one bit for all of them. */
  variables(types: readonly ScalarType[]): Node[] {
    if (types.length === 0) return [];
    const first = this.variable(types[0]);
    return [first, ...types.slice(1).map((type, i) => this.node('variable', type, none, { value: manyVariables * (first.value + 1) + i, variables: first.variables }))];
  }

  /** The address of a tensor, which comes in a parameter of the function: known before all loops. */
  base(parameter: Local): Node {
    return this.node('base', 'i32', none, { value: parameter, low: 0, high: 2 ** 32 });
  }

  constant(type: ScalarType, value: number): Node {
    return this.node('const', type, none, { value, low: value, high: value });
  }

  int(value: number): Node {
    return this.constant('i32', value);
  }

  /** constant + sum of coefficient * term, in normal form. */
  linear(terms: readonly (readonly [Node, number])[], constant = 0): Node {
    if (terms.length === 0) return this.int(constant);
    // Sums are short and there are many: lists, filled without closures or pairs, are faster than maps.
    const nodes: Node[] = [];
    const factors: number[] = [];
    for (const term of terms) constant += addTerm(nodes, factors, term[0], term[1]);
    return this.normal(nodes, factors, constant);
  }

  add(a: Node, b: Node): Node {
    if (a.op === 'const' && a.value === 0) return b;
    if (b.op === 'const' && b.value === 0) return a;
    return this.combine(a, 1, b, 1);
  }

  scale(a: Node, k: number): Node {
    return this.combine(a, k, null, 0);
  }

  /** j * a + k * b */
  private combine(a: Node, j: number, b: Node | null, k: number): Node {
    const nodes: Node[] = [];
    const factors: number[] = [];
    // From 0 on, so that no sum is -0.
    let constant = 0;
    constant += addTerm(nodes, factors, a, j);
    if (b !== null) constant += addTerm(nodes, factors, b, k);
    return this.normal(nodes, factors, constant);
  }

  /** The normal form of a sum of distinct terms, none of them a sum or a constant. Keeps the lists, changed. */
  private normal(nodes: Node[], factors: number[], constant: number): Node {
    // (x idiv d) * d * k + (x mod d) * k = x * k
    for (let at = 0; at < nodes.length; at++) {
      const m = nodes[at];
      const k = factors[at];
      if (m.op !== 'mod' || k === 0 || m.args[1].op !== 'const') continue;
      const q = this.binary('idiv', 'i32', m.args[0], m.args[1]);
      if (q.op === 'linear' || q.op === 'const' || factors[nodes.indexOf(q)] !== m.args[1].value * k) continue;
      for (const gone of [m, q]) {
        const place = nodes.indexOf(gone);
        nodes.splice(place, 1);
        factors.splice(place, 1);
      }
      constant += addTerm(nodes, factors, m.args[0], k);
      // What is left is looked at again.
      at = -1;
    }
    // In the order of their numbers, without those that cancelled out.
    let length = 0;
    for (let from = 0; from < nodes.length; from++) {
      const node = nodes[from];
      const factor = factors[from];
      if (factor === 0) continue;
      let at = length++;
      for (; at > 0 && nodes[at - 1].id > node.id; at--) {
        nodes[at] = nodes[at - 1];
        factors[at] = factors[at - 1];
      }
      nodes[at] = node;
      factors[at] = factor;
    }
    nodes.length = length;
    factors.length = length;
    return this.sum(nodes, factors, constant);
  }

  /** The constant of a sum and some of its terms. */
  some(sum: Node, keep: (term: Node) => boolean): Node {
    return this.part(sum.args, sum.coefficients, keep, 1, sum.value);
  }

  /** A constant and those of a sum's terms that are to be kept, divided by `d`. */
  private part(terms: readonly Node[], factors: readonly number[], keep: (term: Node, factor: number) => boolean, d: number, constant: number): Node {
    const args: Node[] = [];
    const coefficients: number[] = [];
    for (let i = 0; i < terms.length; i++) {
      if (!keep(terms[i], factors[i])) continue;
      args.push(terms[i]);
      coefficients.push(factors[i] / d);
    }
    return this.sum(args, coefficients, constant);
  }

  /** The sum of terms that are in normal form, as some of those of another sum are. */
  private sum(args: readonly Node[], coefficients: readonly number[], constant: number): Node {
    if (args.length === 0) return this.int(constant);
    if (args.length === 1 && constant === 0 && coefficients[0] === 1) return args[0];
    let low = constant;
    let high = constant;
    for (let i = 0; i < args.length; i++) {
      const n = args[i];
      const k = coefficients[i];
      low += k > 0 ? n.low * k : n.high * k;
      high += k > 0 ? n.high * k : n.low * k;
    }
    return this.node('linear', 'i32', args, { coefficients, value: constant, low, high });
  }

  unary(op: Operation, type: ScalarType, x: Node): Node {
    if (type === 'i32') {
      if (op === 'neg') return this.scale(x, -1);
      if (op === 'floor' || op === 'ceil' || op === 'round') return x;
      if (op === 'abs') return x.low >= 0 ? x : this.node(op, type, [x], { low: 0, high: Math.max(-x.low, x.high) });
      if (op !== 'not') return this.cast('i32', this.unary(op, 'f32', this.cast('f32', x)));
    }
    return this.node(op, type, [x]);
  }

  private divide(op: 'idiv' | 'mod', a: Node, d: number): Node {
    if (d === 1) return op === 'idiv' ? a : this.int(0);
    const constant = a.op === 'linear' || a.op === 'const' ? a.value : 0;
    const whole = Math.floor(constant / d);
    const rest = a.op === 'linear' ? this.part(a.args, a.coefficients, (_, k) => k % d !== 0, 1, constant - whole * d) : a.op === 'const' ? this.int(constant - whole * d) : a;
    const inside = rest.low >= 0 && rest.high < d;
    if (op === 'mod') {
      if (inside) return rest;
      if (rest.op === 'mod' && rest.args[1].op === 'const' && rest.args[1].value % d === 0) return this.divide('mod', rest.args[0], d);
      return this.node('mod', 'i32', [rest, this.int(d)], { low: 0, high: d - 1 });
    }
    const quotient = a.op === 'linear' ? this.part(a.args, a.coefficients, (_, k) => k % d === 0, d, whole) : this.int(whole);
    if (inside) return quotient;
    if (rest.op === 'idiv' && rest.args[1].op === 'const' && rest.args[1].value > 0) {
      return this.add(quotient, this.divide('idiv', rest.args[0], rest.args[1].value * d));
    }
    return this.add(quotient, this.node('idiv', 'i32', [rest, this.int(d)], { low: Math.floor(rest.low / d), high: Math.floor(rest.high / d) }));
  }

  binary(op: Operation, type: ScalarType, a: Node, b: Node): Node {
    if (type === 'i32') {
      switch (op) {
        case 'add': return this.add(a, b);
        case 'sub': return this.combine(a, 1, b, -1);
        case 'mul': {
          if (a.op === 'const') return this.scale(b, a.value);
          if (b.op === 'const') return this.scale(a, b.value);
          const corners = [a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high];
          const known = corners.every((c) => Number.isFinite(c));
          return this.node(op, type, [a, b], { low: known ? Math.min(...corners) : -Infinity, high: known ? Math.max(...corners) : Infinity });
        }
        case 'div': case 'idiv': return b.op === 'const' && b.value > 0 ? this.divide('idiv', a, b.value) : this.node('idiv', type, [a, b]);
        case 'mod': return b.op === 'const' && b.value > 0 ? this.divide('mod', a, b.value) : this.node('mod', type, [a, b]);
        case 'min': return a.high <= b.low ? a : b.high <= a.low ? b : this.node(op, type, [a, b], { low: Math.min(a.low, b.low), high: Math.min(a.high, b.high) });
        case 'max': return a.low >= b.high ? a : b.low >= a.high ? b : this.node(op, type, [a, b], { low: Math.max(a.low, b.low), high: Math.max(a.high, b.high) });
        default: return this.cast('i32', this.binary(op, 'f32', this.cast('f32', a), this.cast('f32', b)));
      }
    }
    if (type === 'bool' && a.type === 'i32' && (op === 'lt' || op === 'ge')) {
      if (a.high < b.low) return this.constant('bool', op === 'lt' ? 1 : 0);
      if (a.low >= b.high) return this.constant('bool', op === 'lt' ? 0 : 1);
    }
    if ((op === 'eq' || op === 'ne') && a.type === 'i32') {
      if (a.op === 'const' && b.op === 'const') return this.constant('bool', (a.value === b.value) === (op === 'eq') ? 1 : 0);
      if (a.high < b.low || b.high < a.low) return this.constant('bool', op === 'eq' ? 0 : 1);
    }
    if (type === 'bool' && (op === 'and' || op === 'or')) {
      for (const [x, y] of [[a, b], [b, a]]) {
        if (x.op === 'const') return (x.value !== 0) === (op === 'and') ? y : x;
        if (x === y) return x;
      }
    }
    // Zero times anything is zero, as everywhere in the compiler.
    if (op === 'mul' && type === 'f32') for (const x of [a, b]) if (x.op === 'const' && x.value === 0) return x;
    // Squares and roots, which power would only approximate.
    if (op === 'pow' && b.op === 'const') {
      switch (b.value) {
        case 0: return this.constant('f32', 1);
        case 1: return a;
        case 2: return this.binary('mul', 'f32', a, a);
        case 3: return this.binary('mul', 'f32', this.binary('mul', 'f32', a, a), a);
        case 0.5: return this.unary('sqrt', 'f32', a);
        case -1: return this.binary('div', 'f32', this.constant('f32', 1), a);
        case -0.5: return this.binary('div', 'f32', this.constant('f32', 1), this.unary('sqrt', 'f32', a));
        default: break;
      }
    }
    // A division by a power of two is a product; any other stays a division, for the same bits as elsewhere.
    if (op === 'div' && b.op === 'const' && b.value !== 0 && Number.isInteger(Math.log2(Math.abs(b.value))) && Math.abs(Math.log2(Math.abs(b.value))) < 100) {
      return this.binary('mul', 'f32', a, this.constant('f32', 1 / b.value));
    }
    return this.node(op, type, [a, b]);
  }

  /** 0 <= x < size, as one unsigned comparison. */
  inside(x: Node, size: number): Node {
    if (x.low >= 0 && x.high < size) return this.constant('bool', 1);
    if (x.high < 0 || x.low >= size) return this.constant('bool', 0);
    return this.node('below', 'bool', [x, this.int(size)]);
  }

  select(condition: Node, a: Node, b: Node): Node {
    if (condition.op === 'const') return condition.value !== 0 ? a : b;
    if (a === b) return a;
    return this.node('select', a.type, [condition, a, b], { low: Math.min(a.low, b.low), high: Math.max(a.high, b.high) });
  }

  cast(type: ScalarType, x: Node): Node {
    if (type === x.type) return x;
    if (x.op === 'const') return this.constant(type, type === 'i32' ? Math.trunc(x.value) : type === 'bool' ? (x.value !== 0 ? 1 : 0) : x.value);
    return this.node('cast', type, [x], x.type === 'bool' ? { low: 0, high: 1 } : noFields);
  }

  /** A load at a byte address. With a guard, `otherwise` where it does not hold, whatever the address is there. */
  load(element: ElementType, address: Node, guarded: { guard: Node; otherwise: Node } | null): Node {
    const type = scalarTypeOf(element);
    if (guarded !== null && guarded.guard.op === 'const') {
      if (guarded.guard.value === 0) return guarded.otherwise;
      guarded = null;
    }
    const range = element === 'u8' ? { low: 0, high: 255 } : {};
    return this.node('load', type, guarded === null ? [address] : [address, guarded.guard, guarded.otherwise], {
      element,
      ...(guarded === null || guarded.otherwise.op === 'const' && guarded.otherwise.value >= 0 && guarded.otherwise.value < 256 ? range : {}),
    });
  }

  /** An i32 kept in memory at `address`, with the bounds of the node it stands for. */
  kept(node: Node, address: Node): Node {
    return this.node('load', 'i32', [address], { element: 'i32', low: node.low, high: node.high });
  }

  /** Replaces nodes from the roots down: what `f` gives for a node stands for it, null keeps it with replaced operands. */
  replace(node: Node, f: (node: Node) => Node | null, memo: Map<Node, Node> = new Map()): Node {
    const known = memo.get(node);
    if (known !== undefined) return known;
    let made = f(node);
    if (made === null) {
      const args = node.args.map((a) => this.replace(a, f, memo));
      if (args.every((a, i) => a === node.args[i])) made = node;
      else if (node.op === 'linear') made = this.linear(args.map((a, i) => [a, node.coefficients[i]] as const), node.value);
      else made = this.node(node.op, node.type, args, { value: node.value, element: node.element, low: node.low, high: node.high });
    }
    memo.set(node, made);
    return made;
  }

  philox(site: Node, lane: number, seed: Node, step: Node, example: Node, element: Node): Node {
    return this.node('philox', 'f32', [step, example, element, seed, site], { value: lane });
  }
}
