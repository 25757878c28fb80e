/**
 * The program of a model's `plan`: from what is seen and what is wanted, the actions to take, for several episodes beside
 * each other. Networks are as in use (`training` is false), and the model's own inputs are not there.
 */
import type { FunctionDeclaration, Input, ModelDeclaration } from '../../grammar/ast.js';
import { dependencyFinder } from '../check/dependencies.js';
import type { ModelInput, PlanEntry } from '../plan/manifest.js';
import type { TensorId } from '../tensor/scalar.js';
import { callFunction } from './call.js';
import type { Context } from './context.js';
import { fail } from './context.js';
import type { ElaboratedModel } from './model.js';
import { shapeOf } from './statements.js';
import { nodeOf } from './store.js';
import { close, ensureRead, mergeFree, open, tensorOfNode } from './tensor-value.js';
import type { TensorValue } from './value.js';
import { describe } from './value.js';

/** The `plan` of a model; null when it has none. */
export function planOf(model: ModelDeclaration): FunctionDeclaration | null {
  for (const s of model.body) if (s.kind === 'local' && s.declaration.role === 'plan') return s.declaration;
  return null;
}

/** Adds the plan to the program: `actions` is f32[episodes, steps, numbers]. */
export function elaboratePlan(c: Context, model: ElaboratedModel, d: FunctionDeclaration): { readonly entry: PlanEntry; readonly actions: TensorId } {
  const batch = c.batch;
  const plan = model.frame.scope.get(d.name.text);
  if (batch === null || plan?.kind !== 'function') return fail(c, 'SSL2001', d.span, { expected: 'a plan', found: plan === null ? 'nothing' : describe(plan) });
  if (d.settings.length > 0 || d.inputs.length < 2 || d.inputs.length > 3) {
    return fail(c, 'SSL3002', d.name.span, { role: '`plan`', problem: 'has two or three inputs', help: 'what is seen, what is wanted and, if it helps, the plan of the step before: `plan act(now: u8[H, W, C], goal: u8[H, W, C])`' });
  }
  const given = d.inputs.map((i) => inputOf(c, model, i));
  const args = given.map(({ value }, k) => ({ name: null, value, span: d.inputs[k].span }));
  const result = callFunction(c, model.frame, plan, args, d.name.span, { path: '', site: d.name.text, target: null });
  if (result.kind !== 'tensor' || result.axes.length !== 2) return fail(c, 'SSL3002', d.name.span, { role: '`plan`', problem: `gives ${describe(result)}`, help: 'give the actions of the next steps, `[steps, numbers in an action]`' });
  const whole = close({ ...result, free: mergeFree(result.free, new Map([[batch.variable.id, batch.variable]])) }, [batch.variable]);
  const node = nodeOf(ensureRead(c, whole, 'actions', d.name.span));
  refuseModelInputs(c, node, d);
  return { entry: { inputs: given.map((g) => g.input), steps: result.axes[0].size, actionSize: result.axes[1].size, episodes: batch.variable.axis.size }, actions: node };
}

function inputOf(c: Context, model: ElaboratedModel, i: Input): { readonly input: ModelInput; readonly value: TensorValue } {
  const type = i.type;
  if (c.batch === null || type.kind !== 'tensorType') return fail(c, 'SSL2001', i.span, { expected: 'a tensor such as `u8[H, W, C]`', found: 'another type' });
  const axes = shapeOf(c, model.frame, type);
  const element = type.element === 'int' ? 'i32' : type.element;
  const shape = axes.map((a) => a.size);
  const id = c.builder.source(`plan.${i.name.text}`, 'batch', element, [c.batch.variable.axis.size, ...shape], { span: i.span, name: i.name.text });
  return { input: { name: i.name.text, element, shape }, value: open(tensorOfNode(c, id, [c.batch.variable.axis, ...axes]), [c.batch.variable]) };
}

/** Prefix of the sources that stand for a model's inputs in the program of its plan, where nothing may read them. */
export const absentInputs = 'absent';

function refuseModelInputs(c: Context, node: TensorId, d: FunctionDeclaration): void {
  for (const id of dependencyFinder(c.builder.tensors)(node).all) {
    const t = c.builder.tensor(id);
    if (t.kind === 'source' && t.name.startsWith(`${absentInputs}.`)) {
      fail(c, 'SSL3002', d.name.span, { role: '`plan`', problem: `reads the model's input \`${t.name.slice(absentInputs.length + 1)}\`, which is not there when acting`, help: 'compute what it needs from its own inputs' });
    }
  }
}
