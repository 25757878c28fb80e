/** The nodes of the CPU target: sums in normal form compute what was written, equal nodes are one, and parts of sums are sums. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { base64 } from '../../compiler/emit/wasm/binary.js';
import { Graph } from '../../compiler/emit/wasm/graph.js';
import type { Node } from '../../compiler/emit/wasm/graph.js';
import type { Group } from '../../compiler/emit/wasm/nest.js';
import { oncePerGroups } from '../../compiler/emit/wasm/nest.js';

/** An integer expression over three variables. */
type Expression =
  | { readonly kind: 'variable'; readonly number: number }
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'add' | 'sub'; readonly a: Expression; readonly b: Expression }
  | { readonly kind: 'scale' | 'idiv' | 'mod'; readonly a: Expression; readonly by: number };

const { expression } = fc.letrec<{ expression: Expression }>((tie) => ({
  expression: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    fc.record({ kind: fc.constant('variable' as const), number: fc.nat(2) }),
    fc.record({ kind: fc.constant('constant' as const), value: fc.integer({ min: -20, max: 20 }) }),
    fc.record({ kind: fc.constantFrom('add' as const, 'sub' as const), a: tie('expression'), b: tie('expression') }),
    fc.record({ kind: fc.constant('scale' as const), a: tie('expression'), by: fc.integer({ min: -6, max: 6 }) }),
    fc.record({ kind: fc.constantFrom('idiv' as const, 'mod' as const), a: tie('expression'), by: fc.integer({ min: 1, max: 12 }) }),
  ),
}));

const values = fc.tuple(fc.nat(30), fc.nat(30), fc.nat(30));

function lower(graph: Graph, variables: readonly Node[], e: Expression): Node {
  switch (e.kind) {
    case 'variable': return variables[e.number];
    case 'constant': return graph.int(e.value);
    case 'add': case 'sub': return graph.binary(e.kind, 'i32', lower(graph, variables, e.a), lower(graph, variables, e.b));
    case 'scale': return graph.scale(lower(graph, variables, e.a), e.by);
    case 'idiv': case 'mod': return graph.binary(e.kind, 'i32', lower(graph, variables, e.a), graph.int(e.by));
  }
}

function evaluate(e: Expression, at: readonly number[]): number {
  switch (e.kind) {
    case 'variable': return at[e.number];
    case 'constant': return e.value;
    case 'add': return evaluate(e.a, at) + evaluate(e.b, at);
    case 'sub': return evaluate(e.a, at) - evaluate(e.b, at);
    case 'scale': return evaluate(e.a, at) * e.by;
    case 'idiv': return Math.floor(evaluate(e.a, at) / e.by);
    case 'mod': return evaluate(e.a, at) - e.by * Math.floor(evaluate(e.a, at) / e.by);
  }
}

/** The value of a node; `at` by the variables' numbers. */
function valueOf(node: Node, at: readonly number[]): number {
  const args = node.args.map((a) => valueOf(a, at));
  switch (node.op) {
    case 'const': return node.value;
    case 'variable': return at[node.value];
    case 'linear': return args.reduce((sum, a, i) => sum + a * node.coefficients[i], node.value);
    case 'idiv': return Math.floor(args[0] / args[1]);
    case 'mod': return args[0] - args[1] * Math.floor(args[0] / args[1]);
    default: throw new Error(node.op);
  }
}

const threeVariables = (graph: Graph): readonly Node[] => [0, 1, 2].map(() => graph.variable('i32', 0, 30));

describe('integer nodes', () => {
  it('compute what was written, within their bounds', () => {
    fc.assert(fc.property(expression, values, (e, at) => {
      const graph = new Graph();
      const node = lower(graph, threeVariables(graph), e);
      const value = valueOf(node, at);
      expect(value).toBe(evaluate(e, at) + 0);
      expect(node.low).toBeLessThanOrEqual(value);
      expect(node.high).toBeGreaterThanOrEqual(value);
    }));
  });

  it('are in normal form: distinct terms in the order of their numbers, none a sum, a constant or without a factor', () => {
    fc.assert(fc.property(expression, (e) => {
      const graph = new Graph();
      const node = lower(graph, threeVariables(graph), e);
      if (node.op !== 'linear') return;
      expect(node.args.map((a) => a.id)).toEqual([...new Set(node.args.map((a) => a.id))].sort((a, b) => a - b));
      expect(node.args.filter((a) => a.op === 'linear' || a.op === 'const')).toEqual([]);
      expect(node.coefficients.filter((k) => k === 0)).toEqual([]);
    }));
  });

  it('are one object where they are equal, and never change once they are given', () => {
    fc.assert(fc.property(expression, expression, (e, other) => {
      const graph = new Graph();
      const variables = threeVariables(graph);
      const node = lower(graph, variables, e);
      const before = JSON.stringify(node);
      lower(graph, variables, other);
      expect(lower(graph, variables, e)).toBe(node);
      expect(JSON.stringify(node)).toBe(before);
    }));
  });

  it('fall into parts that are sums as they would have been written', () => {
    fc.assert(fc.property(expression, values, (e, at) => {
      const graph = new Graph();
      const node = lower(graph, threeVariables(graph), e);
      if (node.op !== 'linear') return;
      const keep = (a: Node): boolean => a.id % 2 === 0;
      const [part, rest] = [graph.some(node, keep), graph.some(node, (a) => !keep(a))];
      expect(valueOf(part, at) + valueOf(rest, at) - node.value).toBe(valueOf(node, at));
      expect(part).toBe(graph.linear(node.args.flatMap((a, i) => (keep(a) ? [[a, node.coefficients[i]] as const] : [])), node.value));
    }));
  });
});

describe('lowering for sets of groups', () => {
  it('is done once for each', () => {
    const seen: (readonly Group[])[] = [];
    const lower = oncePerGroups((groups) => seen.push(groups));
    const sets = [[], [[]], [[0]], [[0, 1]], [[0], [1]], [[1], [0]]];
    const first = sets.map(lower);
    expect(sets.map((groups) => lower(groups.map((g) => [...g])))).toEqual(first);
    expect(seen).toEqual(sets);
  });
});

describe('base64', () => {
  it('is as others write it', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      expect(base64(bytes)).toBe(Buffer.from(bytes).toString('base64'));
    }));
  });
});
