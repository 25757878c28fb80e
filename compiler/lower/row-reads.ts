/**
 * Where a program reads rows of lazy parameters. What `inside[word]` reads becomes a tensor of the rows, so that the loss can be differentiated
 * for the rows instead of for the whole parameter, of which a step reads little.
 */
import type { ProgramBuilder } from '../tensor/builder.js';
import { index, indexVariables, rewriteReads, substitute, visit } from '../tensor/scalar.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { createInterner } from '../tensor/structure.js';
import type { Context } from './context.js';
import type { LazyParameter } from './store.js';
import type { TensorValue } from './value.js';

/** Rows of one parameter that are read in one place: `id` [...extents, ...row] holds row `key` of it, a scalar over the extents. */
export interface RowRead {
  readonly parameter: LazyParameter;
  readonly id: TensorId;
  readonly extents: readonly number[];
  readonly key: Scalar;
}

/** Own axes of a value stand from here on while it is looked at. */
const ownAxes = 2_000_000;

export class RowReads {
  private readonly found = new Map<string, RowRead>();
  private readonly interner = createInterner();

  /** The rows read of one parameter. */
  of(parameter: LazyParameter): readonly RowRead[] {
    return [...this.found.values()].filter((r) => r.parameter === parameter);
  }

  /** The value read from its rows, where it is one of a parameter at an index from data; else as it is. */
  gathered(c: Context, v: TensorValue, parameterOf: (id: TensorId) => LazyParameter | null): TensorValue {
    const s = v.at(v.axes.map((_, k) => index(ownAxes + k)));
    const parameter = s.kind === 'read' ? parameterOf(s.tensor) : null;
    if (s.kind !== 'read' || parameter === null || (s.otherwise !== null && s.otherwise.kind !== 'const') || !isFromData(s.at[0])) return v;
    const variables = [...indexVariables(s.at[0])].sort((a, b) => a - b);
    const extents = variables.map((x) => (x >= ownAxes ? v.axes[x - ownAxes].size : v.free.get(x)?.axis.size ?? 1));
    const key = substitute(s.at[0], (x) => index(variables.indexOf(x)));
    // Equal indices over the same variables are one place, by whatever names they come.
    const name = `${parameter.path} ${variables.join()} ${extents.join()} ${this.interner.id(writtenOut(c.builder, s.at[0]))} ${s.otherwise?.value ?? ''}`;
    let rows = this.found.get(name);
    if (rows === undefined) {
      const row = parameter.shape.slice(1);
      const body = c.builder.read(s.tensor, [key, ...row.map((_, d) => index(extents.length + d))], s.otherwise);
      rows = { parameter, extents, key, id: c.builder.comprehension('f32', [...extents, ...row], null, body, { span: null, name: `rows of ${parameter.path}` }) };
      this.found.set(name, rows);
    }
    const { id } = rows;
    return {
      ...v,
      at: (i) => {
        const here = v.at(i);
        return c.builder.read(id, [...variables.map((x) => (x >= ownAxes ? i[x - ownAxes] : index(x))), ...(here.kind === 'read' ? here.at.slice(1) : [])]);
      },
    };
  }
}

/** A scalar with the maps it reads in place of their results. */
function writtenOut(b: ProgramBuilder, s: Scalar): Scalar {
  return rewriteReads(s, (n) => {
    const made = b.tensor(n.tensor);
    return n.otherwise !== null || made.kind !== 'comprehension' || made.reduce !== null ? n : writtenOut(b, substitute(made.body, (v) => n.at[v]));
  });
}

/** Which row it is depends on data, or is known: not one after the other, as where all are read. */
function isFromData(key: Scalar): boolean {
  let found = key.kind === 'const';
  visit(key, (n) => { if (n.kind === 'read' || n.kind === 'draw') found = true; });
  return found;
}
