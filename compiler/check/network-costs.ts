/**
 * What each network of a model holds and does: its parameters, and the multiply-adds and FLOPs of one forward pass for one example, as
 * papers count them. Counted over the elaborated graph; nothing is planned or allocated.
 */
import type { Application, ObjectivesProgram } from '../lower/collapse-program.js';
import type { Comprehension, Program, Tensor } from '../tensor/program.js';
import { sizeOf } from '../tensor/program.js';
import type { Scalar } from '../tensor/scalar.js';
import { visit } from '../tensor/scalar.js';
import { dependencyFinder } from './dependencies.js';

export interface NetworkCost {
  readonly name: string;
  readonly parameters: number;
  /** Multiply-adds of products and convolutions for one example: the "FLOPs" of most papers. */
  readonly multiplyAdds: number;
  /** Every float operation of one example's pass, a multiply-add as two; batch statistics are shared out over the batch. */
  readonly flops: number;
  /** How often the objective applies it: 0 where only a stage does. */
  readonly applications: number;
  /** Views of an example that go through it together, in the first application. */
  readonly together: number;
}

/** The networks, in the order of their first use; targets share a network's parameters and are left out. */
export function costNetworks(p: ObjectivesProgram): NetworkCost[] {
  const names = [...new Set(p.applications.filter((a) => !a.target).map((a) => a.name))];
  return names.map((name) => {
    const applications = p.applications.filter((a) => a.name === name && !a.target);
    const parameters = p.parameters.filter((x) => x.path === name || x.path.startsWith(`${name}.`)).reduce((n, x) => n + sizeOf(x.shape), 0);
    const { multiplyAdds, flops } = costOf(p, applications[0]);
    return { name, parameters, multiplyAdds, flops, applications: applications.filter((a) => !a.staged).length, together: applications[0].together };
  });
}

/** Of one example: a network applied to more, such as all crops side by side, does so much for each of the batch. */
function costOf(p: ObjectivesProgram, application: Application): { multiplyAdds: number; flops: number } {
  const find = dependencyFinder(p.program.tensors);
  // What does not depend on the input, such as the drawing of a parameter's initial value, is no part of a pass.
  const inPass = (t: Tensor): t is Comprehension => t.kind === 'comprehension' && [...find(t.id).all].some((s) => p.inputs.has(s));
  return perExample(p.program.tensors.filter((t) => (t.id >= application.from && t.id < application.to) || (t.id === application.output && t.id >= application.to)).filter(inPass), p.batch * application.together);
}

/** What a program that represents `batch` examples does for one of them. */
export function costEmbedding(program: Program, batch: number): { readonly multiplyAdds: number; readonly flops: number } {
  return perExample(program.tensors.filter((t) => t.kind === 'comprehension'), batch);
}

function perExample(tensors: readonly Comprehension[], batch: number): { multiplyAdds: number; flops: number } {
  let multiplyAdds = 0;
  let flops = 0;
  for (const t of tensors) {
    const points = sizeOf(t.shape) * sizeOf(t.reduce?.extents ?? []);
    const product = isContraction(t);
    if (product) multiplyAdds += points;
    flops += product ? 2 * points : points * (operationsIn(t.body) + (t.reduce === null ? 0 : 1));
  }
  return { multiplyAdds: Math.round(multiplyAdds / batch), flops: Math.round(flops / batch) };
}

/** A sum of products of two different tensors: a matrix product or convolution. */
function isContraction(t: Comprehension): boolean {
  if (t.reduce?.op !== 'sum') return false;
  const { body } = t;
  if (body.kind !== 'binary' || body.op !== 'mul') return false;
  const [a, b] = [tensorsIn(body.a), tensorsIn(body.b)];
  return a.size > 0 && b.size > 0 && ![...a].some((id) => b.has(id));
}

function tensorsIn(s: Scalar): ReadonlySet<number> {
  const found = new Set<number>();
  visit(s, (x) => { if (x.kind === 'read') found.add(x.tensor); });
  return found;
}

function operationsIn(body: Scalar): number {
  let count = 0;
  visit(body, (s) => { if ((s.kind === 'unary' && s.type === 'f32' && s.op !== 'stop') || (s.kind === 'binary' && s.a.type === 'f32')) count++; });
  return count;
}
