/**
 * The state of one elaboration: the program being built, the parameters and states met so far, and the clock.
 * A frame is one activation of a function body.
 */
import type { Span } from '../../grammar/span.js';
import { diagnostic, DiagnosticError } from '../../grammar/diagnostics/report.js';
import type { ArgumentsOf, Code } from '../../grammar/diagnostics/diagnostic.js';
import type { ProgramBuilder } from '../tensor/builder.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import type { Expression } from '../../grammar/ast.js';
import type { Scope } from './scope.js';
import type { StandIn } from './stand-ins.js';
import type { Axis, CallSite, IndexVariable, NetValue, TargetInfo, TensorValue, Value } from './value.js';

/** A parameter as discovered: its path, shape, and whether an optimizer may decay it. */
export interface ParameterInfo {
  readonly path: string;
  readonly shape: readonly number[];
  /** Name of the layer that declares it (`batch_norm`), for `skip: [norm]`. */
  readonly layer: string;
}

/** Memory a model owns beside parameters: `state.PATH`, `memory.NAME`, `table.NAME`. */
export interface StateInfo {
  readonly name: string;
  readonly shape: readonly number[];
  readonly element: 'f32' | 'i32';
}

/**
 * How a program gets at owned memory. The discovering elaboration draws initial values; later ones read the
 * sources laid out from what was discovered.
 */
export interface Store {
  parameter(info: ParameterInfo, target: TargetInfo | null, initial: () => TensorValue, span: Span): TensorValue;
  state(info: StateInfo, initial: () => TensorValue, span: Span): TensorValue;
  updateState(name: string, value: TensorValue, span: Span): void;
  /** Sees what is read at an index, and may give the same from elsewhere. */
  gathered?(value: TensorValue): TensorValue;
  /** Targets met, by name, in order. */
  target(info: TargetInfo): void;
}

/** Parameters side by side along one axis, each at a multiple of 64. */
export interface SharedAxis {
  readonly size: number;
  readonly parameters: readonly { readonly offset: number; readonly shape: readonly number[] }[];
}

export interface Context {
  readonly builder: ProgramBuilder;
  readonly training: boolean;
  readonly store: Store;
  /** i32 scalars; null where a program has no clock (then draws are an error). */
  readonly seed: TensorId;
  readonly step: TensorId;
  /** i32[batch]: the example number of each position of the batch, and the batch variable; null without a batch. */
  readonly batch: {
    readonly variable: IndexVariable;
    readonly example: TensorId;
    /** What `id` reads where examples have no number in the training set: a program that needs it is refused. */
    readonly unnumbered?: TensorId;
    /** Where only a part of a batch of `size` is seen: the position of its first example. */
    readonly within?: { readonly first: Scalar; readonly size: number };
  } | null;
  /** Numbers for index variables, far from any position. */
  counter: number;
  readonly calls: CallSite[];
  /** How often each network was applied: draws inside differ by application. */
  readonly applications: Map<string, number>;
  /** Steps in an epoch, for lengths given in epochs; null where there is no training. */
  readonly epochSteps: number | null;
  /** The value of `expression over data` in a stage; absent elsewhere. */
  readonly over?: (e: Extract<Expression, { kind: 'over' }>) => Value;
  /**
   * Sees every application of a network and may stand in for its output, for analyses that do not care how it came about.
   * `from` is the first tensor the application made.
   */
  readonly onApplication?: (net: NetValue, value: Value, inputs: readonly Value[], from: TensorId) => Value;
  /** Gives the outputs of networks where only their shape matters. */
  readonly standIn?: StandIn;
  /** Set where an optimizer runs on all parameters at once: `*S` is then this axis, and a reduction over it gives a value for each of them. */
  readonly parametersAlong?: SharedAxis;
  /** Stands in for latent variables, for the same analyses: nothing is inferred then. */
  readonly replaceLatent?: (name: string, element: 'f32' | 'i32', axes: readonly Axis[], over: readonly IndexVariable[]) => TensorValue;
}

export interface Frame {
  readonly scope: Scope;
  /** Prefix of parameter paths, and of draw sites (which also counts applications). */
  readonly path: string;
  readonly site: string;
  /** Implicit index variables that a draw here is independent over. */
  readonly lifts: readonly IndexVariable[];
  /** Numbers of layers applied so far, by callee; shared by the blocks of one body. */
  readonly counters: Map<string, number>;
  readonly target: TargetInfo | null;
  /** Name of the function whose body this is. */
  readonly callee: string;
  readonly role: string;
  /** Sizes of the declared result, for definitions whose ranges use does not give. */
  readonly declaredResult: readonly (number | null)[] | null;
  /** Values of subexpressions computed early, while ranges were inferred. */
  readonly early: Map<Expression, Value>;
  /** True inside brackets: `/` on integers rounds down. */
  readonly indexing: boolean;
}

/** Reports an error with the calls that led here, and gives up on the current statement. */
export function fail<C extends Code>(c: Context | null, code: C, span: Span, args: ArgumentsOf<C>): never {
  const related = (c?.calls ?? []).slice().reverse().slice(0, 6).map((s) => ({ span: s.span, message: `in this call of \`${s.callee}\`` }));
  throw new DiagnosticError([diagnostic(code, span, args, related)]);
}

export function newVariable(c: Context, name: string, axis: Axis, implicit: boolean): IndexVariable {
  c.counter += 1;
  return { id: 1_000_000 + c.counter, name, axis, implicit };
}

/** Thrown when a value that already failed is used: nothing more to say. */
export class Poisoned extends Error {}

export type { Scalar };
