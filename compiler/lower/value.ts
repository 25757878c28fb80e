/**
 * What expressions evaluate to while a model is elaborated: compile-time values (numbers, functions, lists, ...) and
 * tensors. A tensor is a function from indices to a scalar expression; it becomes memory only when `materialize` says so.
 *
 * Two kinds of axes: `axes` are the tensor's own, what its type shows; index variables that occur free in its scalar
 * are the ones it is mapped over (the batch, the extra leading axes of a call, indices of a definition or reduction).
 */
import type { FunctionDeclaration, ModelDeclaration } from '../../grammar/ast.js';
import type { Span } from '../../grammar/span.js';
import type { Scalar } from '../tensor/scalar.js';
import type { DataDescription } from '../api.js';
import type { Scope } from './scope.js';

/**
 * An axis. `label` is the name it goes by; `group` the rest name (`*S`) it was bound to in the current function;
 * `origin` the index variable it was absorbed from, so that it can go back to being implicit.
 */
export interface Axis {
  readonly size: number;
  readonly label: string | null;
  readonly group: string | null;
  readonly origin: IndexVariable | null;
  /** Views of one example lie along it: `joint`. */
  readonly views?: true;
}

/** A free index. `implicit`: the batch or a lifted axis, which nobody wrote; else a written index. */
export interface IndexVariable {
  readonly id: number;
  readonly name: string;
  readonly axis: Axis;
  readonly implicit: boolean;
}

export type TensorElement = 'f32' | 'i32' | 'bool' | 'u8';

export interface TensorValue {
  readonly kind: 'tensor';
  readonly element: TensorElement;
  readonly axes: readonly Axis[];
  /** Free index variables the scalar may use, by id. */
  readonly free: ReadonlyMap<number, IndexVariable>;
  /** The element at these own indices. */
  readonly at: (own: readonly Scalar[]) => Scalar;
}

/** A set of weights applied wherever it is called. `arena` is where its parameters live: a target has its own. */
export interface NetValue {
  readonly kind: 'net';
  readonly name: string;
  readonly stages: readonly { readonly value: FunctionValue; readonly path: string }[];
  readonly target: TargetInfo | null;
}

/** `target t = ema(f, momentum)`: parameters under `name` mirror those under `of`. */
export interface TargetInfo {
  readonly name: string;
  readonly of: string;
  readonly momentum: Value;
  readonly when: 'before' | 'after';
  readonly buffers: 'own' | 'copy' | 'ema';
}

export interface FunctionValue {
  readonly kind: 'function';
  readonly declaration: FunctionDeclaration;
  readonly scope: Scope;
  /** Settings bound by a first call; null when that list was not given yet. */
  readonly settings: ReadonlyMap<string, Value> | null;
}

export type Value =
  | { readonly kind: 'number'; readonly value: number; readonly integer: boolean }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'range'; readonly low: number; readonly high: number }
  | { readonly kind: 'list'; readonly items: readonly Value[] }
  | { readonly kind: 'tuple'; readonly items: readonly Value[] }
  | { readonly kind: 'builtin'; readonly name: string }
  | { readonly kind: 'composition'; readonly stages: readonly FunctionValue[] }
  | { readonly kind: 'distribution'; readonly name: string; readonly arguments: readonly Value[] }
  | { readonly kind: 'data'; readonly description: DataDescription }
  | { readonly kind: 'ema'; readonly net: NetValue; readonly momentum: Value; readonly when: TargetInfo['when']; readonly buffers: TargetInfo['buffers'] }
  | { readonly kind: 'model'; readonly declaration: ModelDeclaration; readonly scope: Scope }
  /** A name whose definition already failed: using it is silent. */
  | { readonly kind: 'poison' }
  | FunctionValue
  | NetValue
  | TensorValue;

export const number = (value: number): Value => ({ kind: 'number', value, integer: Number.isInteger(value) });

/** A plain axis. */
export function axisOf(size: number, label: string | null = null): Axis {
  return { size, label, group: null, origin: null };
}

/** `[B=256, 28, C=1]`, for messages. */
export function showShape(axes: readonly Axis[]): string {
  return `[${axes.map((a) => (a.label === null ? `${a.size}` : `${a.label}=${a.size}`)).join(', ')}]`;
}

/** A value in a few words, for messages. */
export function describe(v: Value): string {
  switch (v.kind) {
    case 'number': return `the number ${v.value}`;
    case 'boolean': return `${v.value}`;
    case 'string': return `the text "${v.value}"`;
    case 'range': return `the range ${v.low}..${v.high}`;
    case 'list': return `a list of ${v.items.length}`;
    case 'tuple': return `${v.items.length} values`;
    case 'builtin': return `the function \`${v.name}\``;
    case 'composition': return 'a composition of networks';
    case 'distribution': return `the distribution \`${v.name}\``;
    case 'data': return 'a data set';
    case 'ema': return 'a moving average';
    case 'model': return `the model \`${v.declaration.name.text}\``;
    case 'poison': return 'something that failed';
    case 'function': return `the ${v.declaration.role} \`${v.declaration.name.text}\``;
    case 'net': return `the network \`${v.name}\``;
    case 'tensor': return `${v.element === 'i32' ? 'int' : v.element}${showShape(v.axes)}`;
  }
}

/** Where a call was made: the trace under an error inside a library function. */
export interface CallSite {
  readonly callee: string;
  readonly span: Span;
}
