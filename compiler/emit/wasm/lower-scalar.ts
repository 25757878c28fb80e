/** Turns scalars into nodes: reads become loads at byte addresses, with guards and clamps only where needed. */
import type { Slot } from '../../plan/plan.js';
import type { Scalar, TensorId } from '../../tensor/scalar.js';
import { bytesOf } from '../../tensor/program.js';
import { bug } from '../../../grammar/diagnostics/report.js';
import type { Local } from './binary.js';
import type { Graph, Node } from './graph.js';
import { selectLoad } from './select-load.js';

/** The tensors of a kernel: how they lie, and in which parameter of its function the address of each comes. */
export interface Memory {
  readonly placements: ReadonlyMap<TensorId, Slot>;
  readonly parameters: ReadonlyMap<TensorId, Local>;
}

export function slotOf(memory: Pick<Memory, 'placements'>, tensor: TensorId): Slot {
  return memory.placements.get(tensor) ?? bug(`tensor ${tensor} has no place in memory`);
}

function parameterOf(memory: Memory, tensor: TensorId): Local {
  return memory.parameters.get(tensor) ?? bug(`tensor ${tensor} is no tensor of the kernel`);
}

/** First byte of a tensor. */
export function addressOf(graph: Graph, memory: Memory, tensor: TensorId): Node {
  return graph.base(parameterOf(memory, tensor));
}

/** What the variables and accumulators of a kernel's scalars stand for. */
export interface Environment {
  readonly axes: readonly Node[];
  readonly accumulators: readonly Node[];
}

/** Lowers one scalar. `memo` may be shared between scalars of one environment. */
export function lowerScalar(graph: Graph, memory: Memory, environment: Environment, root: Scalar, memo: Map<Scalar, Node> = new Map()): Node {
  const lower = (s: Scalar): Node => {
    const known = memo.get(s);
    if (known !== undefined) return known;
    const made = make(s);
    memo.set(s, made);
    return made;
  };
  const make = (s: Scalar): Node => {
    switch (s.kind) {
      case 'const': return graph.constant(s.type, s.value);
      case 'index': return environment.axes[s.axis] ?? bug(`axis ${s.axis} is not an axis of the kernel`);
      case 'accumulator': return environment.accumulators[s.slot] ?? bug(`accumulator ${s.slot} does not exist`);
      case 'unary': return s.op === 'stop' ? lower(s.x) : graph.unary(s.op, s.type, lower(s.x));
      case 'binary': return graph.binary(s.op, s.type, lower(s.a), lower(s.b));
      case 'select': {
        const [condition, a, b] = [lower(s.condition), lower(s.a), lower(s.b)];
        return selectLoad(graph, condition, a, b) ?? graph.select(condition, a, b);
      }
      case 'cast': return graph.cast(s.type, lower(s.x));
      case 'draw': return graph.philox(lower(s.site), s.lane, lower(s.seed), lower(s.step), lower(s.example), lower(s.element));
      case 'read': {
        const slot = slotOf(memory, s.tensor);
        const bytes = bytesOf(slot.element);
        let guard = graph.constant('bool', 1);
        let stride = bytes;
        const terms: [Node, number][] = [];
        for (let d = slot.shape.length - 1; d >= 0; d--) {
          let at = lower(s.at[d]);
          const size = slot.shape[d];
          if (s.otherwise !== null) guard = graph.binary('and', 'bool', graph.inside(at, size), guard);
          else if (at.low < 0 || at.high >= size) at = graph.binary('min', 'i32', graph.binary('max', 'i32', at, graph.int(0)), graph.int(size - 1));
          terms.push([at, stride]);
          stride *= size;
        }
        const address = graph.linear([...terms, [addressOf(graph, memory, s.tensor), 1]]);
        return graph.load(slot.element, address, s.otherwise === null ? null : { guard, otherwise: lower(s.otherwise) });
      }
    }
  };
  return lower(root);
}

/** The byte address of a store at `at` (row-major over `extents`). */
export function storeAddress(graph: Graph, memory: Memory, tensor: TensorId, extents: readonly number[], at: readonly Node[]): Node {
  const bytes = bytesOf(slotOf(memory, tensor).element);
  const terms: [Node, number][] = [];
  let stride = bytes;
  for (let d = extents.length - 1; d >= 0; d--) {
    terms.push([at[d], stride]);
    stride *= extents[d];
  }
  return graph.linear([...terms, [addressOf(graph, memory, tensor), 1]]);
}
