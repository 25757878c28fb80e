/**
 * The entry `views`: the representation of a view instead of the example itself, so that a run can tell how well representations
 * agree (alignment) and how examples differ more than their views do (LiDAR). The model is elaborated twice: for its views, and
 * with the input it represents replaced by one of them. `views.which` chooses which, so the encoder is compiled once.
 */
import type { Input } from '../../grammar/ast.js';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import type { Program } from '../tensor/program.js';
import { dropDead } from '../tensor/simplify.js';
import { binary, int, select } from '../tensor/scalar.js';
import type { Context } from './context.js';
import { Poisoned } from './context.js';
import { finishEmbed } from './finish-embed.js';
import { elaborateModel } from './model.js';
import type { Scope } from './scope.js';
import { convertTensor } from './tensor-value.js';
import type { TrainingSource } from './training-spec.js';
import type { TensorValue, Value } from './value.js';

export interface ViewEntry {
  /** Names of the views that can stand in for the input: one or two. */
  readonly names: readonly string[];
  readonly program: Program;
}

/** What the entry is made of: a fresh context under evaluation conditions, and how the entry `embed` was made. */
export interface ViewRequest {
  readonly c: Context;
  readonly scope: Scope;
  readonly source: TrainingSource;
  readonly settings: ReadonlyMap<string, Value>;
  readonly inputs: (input: Input, position: number) => TensorValue;
  /** Entry `embed`: which inputs are represented is read off it. */
  readonly embed: Program;
  readonly size: number;
}

/** Null when no view can stand in for the one input that is represented. */
export function buildViews(request: ViewRequest): ViewEntry | null {
  const { c, scope, source, settings, inputs } = request;
  const read = dropDead(request.embed).tensors.flatMap((t) => (t.kind === 'source' && t.name.startsWith('embed.') && t.name !== 'embed.example' ? [t.name.slice('embed.'.length)] : []));
  if (read.length !== 1) return null;
  try {
    const { frame } = elaborateModel(c, source.model, scope, settings, 'views', inputs);
    const replaced = replacement(frame.scope, source, read[0]);
    if (replaced.length === 0) return null;
    const which = c.builder.source('views.which', 'batch', 'i32', [], { span: null, name: 'which' });
    const [a, b] = replaced.map((r) => r.value);
    const chosen: TensorValue = b === undefined ? a : { ...a, free: new Map([...a.free, ...b.free]), at: (i) => select(binary('eq', c.builder.read(which, []), int(0)), a.at(i), b.at(i)) };
    const model = elaborateModel(c, source.model, scope, settings, 'representation', inputs, new Map([[read[0], chosen]]));
    if (finishEmbed(c, model, source) !== request.size) return null;
    return { names: replaced.map((r) => r.name), program: c.builder.build() };
  } catch (e) {
    // A view that does not fit the encoder is no mistake: the figures that need it are reported as not defined.
    if (e instanceof DiagnosticError || e instanceof Poisoned) return null;
    throw e;
  }
}

/** The first two views that look like the input: as many axes, and of one shape. */
function replacement(scope: Scope, source: TrainingSource, name: string): readonly { readonly name: string; readonly value: TensorValue }[] {
  const input = scope.get(name);
  if (input?.kind !== 'tensor') return [];
  const names = source.model.body.flatMap((s) => (s.kind === 'view' ? s.names.map((n) => n.name.text) : []));
  const element = input.element === 'u8' ? 'f32' : input.element;
  const views = names.flatMap((n): { name: string; value: TensorValue }[] => {
    const v = scope.get(n);
    const items = v === null ? [] : v.kind === 'list' ? v.items : [v];
    return items.flatMap((item) => (item.kind === 'tensor' ? [{ name: n, value: element === 'f32' ? convertTensor(item, 'f32') : item }] : []));
  });
  const fitting = views.filter(({ value }) => value.element === element && value.axes.length === input.axes.length);
  const shape = (v: TensorValue): string => v.axes.map((x) => x.size).join();
  return fitting.filter(({ value }) => shape(value) === shape(fitting[0].value)).slice(0, 2);
}
