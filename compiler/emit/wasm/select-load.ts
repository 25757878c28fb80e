/**
 * One load in place of two: a choice between loads by a condition that is the same along the innermost axis becomes a load
 * at a chosen address, and what the addresses have in common stays outside the choice. So a map that interleaves tensors
 * by the parity of outer axes loads each element once, and chooses once for each run of neighbours.
 */
import { bytesOf } from '../../tensor/program.js';
import type { Graph, Node } from './graph.js';

/** `condition ? a : b` as one load, or null where loading both is better. */
export function selectLoad(graph: Graph, condition: Node, a: Node, b: Node): Node | null {
  if (a.op !== 'load' || b.op !== 'load' || a.element !== b.element) return null;
  const guard = (n: Node): Node => (n.args.length > 1 ? n.args[1] : graph.constant('bool', 1));
  const otherwise = a.args[2] ?? b.args[2] ?? null;
  if (a.args.length > 1 && b.args.length > 1 && a.args[2] !== b.args[2]) return null;
  const [own, other] = [termsOf(a.args[0]), termsOf(b.args[0])];
  const common = [...own].filter(([n, k]) => other.get(n) === k);
  const varying = common.filter(([, k]) => k === bytesOf(a.element)).reduce((m, [n]) => m | n.variables, 0);
  // Neighbours must follow one another whichever is chosen.
  if (varying === 0 || [condition, guard(a), guard(b)].some((n) => (n.variables & varying) !== 0 || loads(n))) return null;
  const rest = (address: Node): Node => graph.linear([[address, 1], ...common.map(([n, k]) => [n, -k] as const)]);
  const [from, to] = [rest(a.args[0]), rest(b.args[0])];
  const address = graph.linear([[graph.select(condition, from, to), 1], ...common]);
  if (otherwise === null) return graph.load(a.element, address, null);
  return graph.load(a.element, address, { guard: graph.select(condition, guard(a), guard(b)), otherwise });
}

function termsOf(address: Node): ReadonlyMap<Node, number> {
  if (address.op !== 'linear') return new Map([[address, 1]]);
  return new Map(address.args.map((n, i) => [n, address.coefficients[i]]));
}

function loads(n: Node): boolean {
  return n.op === 'load' || n.args.some(loads);
}
