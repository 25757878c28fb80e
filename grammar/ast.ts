/**
 * The syntax tree of a `.ssl` file. Tagged unions, immutable, a span on every node. Names are not resolved
 * and nothing is computed here: `0.2..1.0` is a `range`, `10 epochs` a `number` with a unit.
 */
import type { Span } from './span.js';

/** A name as written, with its place. */
export interface Identifier {
  readonly text: string;
  readonly span: Span;
}

interface Node {
  readonly span: Span;
}

export interface Module extends Node {
  readonly kind: 'module';
  readonly uses: readonly Use[];
  readonly declarations: readonly Declaration[];
}

/** `use std.vision { resnet18, mlp as head }`, `use "./losses.ssl" { vicreg }`, `use "@scope/pkg" { f }`. */
export interface Use extends Node {
  readonly kind: 'use';
  /** `std.vision` for library paths; the text between the quotes for files and packages. */
  readonly from: { readonly kind: 'library'; readonly path: string } | { readonly kind: 'file'; readonly path: string };
  readonly fromSpan: Span;
  readonly names: readonly { readonly name: Identifier; readonly as: Identifier | null }[];
}

export type Declaration = FunctionDeclaration | ModelDeclaration | TrainDeclaration;

/** The nouns that declare a function. `optimizer`, `schedule` and `data` are functions with a role of their own; a `plan` belongs in a model. */
export type FunctionRole = 'fn' | 'layer' | 'backbone' | 'energy' | 'regularizer' | 'view' | 'optimizer' | 'schedule' | 'data' | 'plan';

/**
 * `layer conv(out: int, size: int = 3)(x: [H, W, C]) -> [H, W, out] { ... }`. With two lists the first holds the
 * settings and the second the inputs. A single list holds inputs, except in `schedule` and `data`, which have
 * settings only. `int`, `float` and `bool` alone are scalar types in an input list.
 */
export interface FunctionDeclaration extends Node {
  readonly kind: 'function';
  readonly role: FunctionRole;
  readonly name: Identifier;
  readonly settings: readonly Setting[];
  readonly inputs: readonly Input[];
  readonly result: TypeExpression | null;
  readonly body: Block;
  /** Text of the `///` lines above, without the slashes; empty when there are none. */
  readonly documentation: string;
}

/** A compile-time setting: `tau: float in 0..10 = 0.5`, `bias = false`, `f: net`. */
export interface Setting extends Node {
  readonly kind: 'setting';
  readonly name: Identifier;
  /** `int`, `float`, `bool`, `string`, `range`, `net`, ..., or null when it follows from the default. */
  readonly type: Identifier | null;
  /** `in LOW..HIGH` or `in [a, b, c]`: the values allowed. */
  readonly within: Expression | null;
  readonly default: Expression | null;
  readonly documentation: string;
}

/** A tensor input of a function or a model: `x: u8[H, W, C]`. */
export interface Input extends Node {
  readonly kind: 'input';
  readonly name: Identifier;
  readonly type: TypeExpression;
}

export type TypeExpression =
  /** `[B, D]` (element f32), `u8[H, W, C]`, `int[T]`; `int` and `bool` alone are scalars: `dimensions` is empty. */
  | (Node & { readonly kind: 'tensorType'; readonly element: ElementName; readonly dimensions: readonly Dimension[] })
  | (Node & { readonly kind: 'tupleType'; readonly items: readonly TypeExpression[] })
  /** A bare name that is no element type: an axis given as a number (`n: N`), `example`, ... */
  | (Node & { readonly kind: 'namedType'; readonly name: string });

export type ElementName = 'f32' | 'int' | 'u8' | 'bool';

export type Dimension =
  | (Node & { readonly kind: 'dimension'; readonly size: Expression })
  /** `*S`: any number of axes. */
  | (Node & { readonly kind: 'rest'; readonly name: Identifier });

/** `model simclr(width: int = 128) { ... }` */
export interface ModelDeclaration extends Node {
  readonly kind: 'model';
  readonly name: Identifier;
  readonly settings: readonly Setting[];
  readonly body: readonly Statement[];
  readonly documentation: string;
}

/** `train simclr(tau: 0.2) { batch 512 ... }`: the arguments are settings of the model. */
export interface TrainDeclaration extends Node {
  readonly kind: 'train';
  readonly model: Identifier;
  readonly arguments: readonly Argument[];
  readonly items: readonly TrainItem[];
  readonly documentation: string;
}

export type TrainItem =
  /** `data cifar10("...")`, `batch 512`, `epochs 200`, `optimizer lars(...)`, `schedule cosine(...)`, `seed 1`, ... */
  | (Node & { readonly kind: 'entry'; readonly key: Identifier; readonly value: Expression })
  /** `every 5 epochs { knn(k: 200); checkpoint }` */
  | (Node & { readonly kind: 'every'; readonly period: Expression; readonly actions: readonly Expression[] })
  /** `group predict, f.conv1 { rate 0.1; trainable after(1 epochs) }`: what the optimizer does otherwise with some parameters. */
  | (Node & { readonly kind: 'group'; readonly paths: readonly Identifier[]; readonly entries: readonly GroupEntry[] });

/** `rate 0.1` in a group: a setting of the optimizer, `schedule` or `trainable`. */
export interface GroupEntry extends Node {
  readonly key: Identifier;
  readonly value: Expression;
}

/** Statements and a result, in braces; `= expression` is a block with no statements. */
export interface Block extends Node {
  readonly kind: 'block';
  readonly statements: readonly Statement[];
  /** The last expression; null when the block ends in a statement (only models, stages and `update`-only layers may). */
  readonly result: Expression | null;
}

export type Statement =
  /** `let u = f(a), v = f(b)`; `let (hidden, chosen) = ...` has several names. */
  | (Node & { readonly kind: 'let'; readonly bindings: readonly { readonly names: readonly Identifier[]; readonly value: Expression }[] })
  /** `let p ~ bernoulli(0.5)`, `let noise[n: negatives] ~ categorical(q)`, several by commas. */
  | (Node & { readonly kind: 'draw'; readonly draws: readonly { readonly name: Identifier; readonly indices: readonly Binder[]; readonly distribution: Expression }[] })
  /** `y[i, j, o] = sum[...](...)`: an index definition. */
  | (Node & { readonly kind: 'define'; readonly name: Identifier; readonly indices: readonly Binder[]; readonly value: Expression })
  /** `param w: [I, O] ~ he_normal(fan: I)`, `state mean: [C] = 0`, `memory queue: [K, D] ~ ...`, `table t: int[examples] = 0`. */
  | (Node & {
      readonly kind: 'own';
      readonly ownership: 'param' | 'state' | 'memory' | 'table';
      readonly name: Identifier;
      readonly type: TypeExpression;
      readonly init: { readonly kind: 'value' | 'draw'; readonly value: Expression };
    })
  | (Node & { readonly kind: 'update'; readonly name: Identifier; readonly value: Expression })
  /** `repeat 10 { ... }`: the statements, so many times; what they define keeps its value to the next round and after. */
  | (Node & { readonly kind: 'repeat'; readonly count: Expression; readonly body: readonly Statement[] })
  | (Node & { readonly kind: 'input'; readonly inputs: readonly Input[] })
  /** `view a, b ~ strong(x)`; `view whole[2] ~ crop(96)(x)`: names that share one independent draw each. */
  | (Node & { readonly kind: 'view'; readonly names: readonly { readonly name: Identifier; readonly count: Expression | null }[]; readonly value: Expression })
  | (Node & { readonly kind: 'net'; readonly name: Identifier; readonly value: Expression })
  | (Node & { readonly kind: 'target'; readonly name: Identifier; readonly value: Expression })
  /** A function declared inside a model; it sees the model's names. */
  | (Node & { readonly kind: 'local'; readonly declaration: FunctionDeclaration })
  /** `latent z: [K] = argmin predict from 0 steps 20 rate 0.1`: what makes a local energy least, for every example. */
  | (Node & { readonly kind: 'latent'; readonly name: Identifier; readonly type: TypeExpression; readonly energy: Identifier; readonly search: LatentSearch })
  | (Node & { readonly kind: 'objective'; readonly role: 'minimize' | 'regularize' | 'monitor'; readonly name: Identifier; readonly value: Expression })
  | (Node & { readonly kind: 'represent'; readonly value: Expression })
  /** `stage cluster every 1 epochs { ... }`; `period` is null for `once`. */
  | (Node & { readonly kind: 'stage'; readonly name: Identifier; readonly period: Expression | null; readonly body: readonly StageStep[] });

export type StageStep =
  | (Node & { readonly kind: 'assign'; readonly name: Identifier; readonly value: Expression })
  | (Node & { readonly kind: 'reset'; readonly name: Identifier })
  /** A `let`, for values that several steps use. */
  | (Node & { readonly kind: 'plain'; readonly statement: Statement });

/** How the least energy is looked for. */
export type LatentSearch =
  /** `from START steps COUNT rate RATE`: gradient descent. */
  | { readonly kind: 'descent'; readonly from: Expression; readonly steps: Expression; readonly rate: Expression }
  /** `latent k: int in 0..codes = argmin predict`: every value is tried. */
  | { readonly kind: 'enumeration'; readonly range: Expression }
  /** `from START by cem(samples: 200)`: a function of the energy and of where to start (0 when not said). */
  | { readonly kind: 'function'; readonly from: Expression | null; readonly by: Expression };

/** An index introduced by a definition or reduction: `k`, `k: 10`, `*S`, or `s in whole` (over a list). */
export interface Binder extends Node {
  readonly name: Identifier;
  readonly rest: boolean;
  readonly extent: Expression | null;
  readonly source: Expression | null;
}

export interface Argument extends Node {
  /** `stride: 2` has a name, a positional argument none. */
  readonly name: Identifier | null;
  readonly value: Expression;
}

export type BinaryOperator =
  | '+' | '-' | '*' | '/' | '%' | '^' | '@' | '++'
  | '==' | '!=' | '<' | '<=' | '>' | '>=' | 'and' | 'or';

export type Expression =
  /** `unit` is `deg`, `%`, `epochs`, `steps` or `examples` when written; `text` keeps the spelling for the printer. */
  | (Node & { readonly kind: 'number'; readonly value: number; readonly integer: boolean; readonly unit: string | null; readonly text: string })
  | (Node & { readonly kind: 'string'; readonly value: string })
  | (Node & { readonly kind: 'boolean'; readonly value: boolean })
  | (Node & { readonly kind: 'name'; readonly name: string })
  | (Node & { readonly kind: 'member'; readonly object: Expression; readonly name: Identifier })
  | (Node & { readonly kind: 'call'; readonly callee: Expression; readonly arguments: readonly Argument[] })
  /** `x[i, j] else 0`, `table[word[i]]`, `whole[0]`. */
  | (Node & { readonly kind: 'index'; readonly object: Expression; readonly indices: readonly Expression[]; readonly otherwise: Expression | null })
  /**
   * `NAME[binders where guard](arguments)`: reductions (`sum[d](a[d] * b[d])`, `mean[H, W](x)`, `max[a: 3](...)`,
   * `mean[s in xs, t in ys where s != t](...)`) and functions along an axis (`standardize[b](u)`). In a pipe,
   * `x |> mean[H, W]`, there are no arguments: `arguments` is null.
   */
  | (Node & { readonly kind: 'along'; readonly name: Identifier; readonly binders: readonly Binder[]; readonly where: Expression | null; readonly arguments: readonly Argument[] | null })
  | (Node & { readonly kind: 'unary'; readonly operator: '-' | 'not'; readonly operand: Expression })
  | (Node & { readonly kind: 'binary'; readonly operator: BinaryOperator; readonly left: Expression; readonly right: Expression })
  | (Node & { readonly kind: 'pipe'; readonly left: Expression; readonly right: Expression })
  | (Node & { readonly kind: 'range'; readonly low: Expression; readonly high: Expression })
  | (Node & { readonly kind: 'if'; readonly condition: Expression; readonly then: Block; readonly otherwise: Block | null })
  | (Node & { readonly kind: 'block'; readonly statements: readonly Statement[]; readonly result: Expression | null })
  | (Node & { readonly kind: 'list'; readonly items: readonly Expression[] })
  /** `[f(v) for v in whole ++ part where v != x]` */
  | (Node & { readonly kind: 'listComprehension'; readonly element: Expression; readonly variable: Identifier; readonly source: Expression; readonly where: Expression | null })
  | (Node & { readonly kind: 'tuple'; readonly items: readonly Expression[] })
  /** `f(x) over data` */
  | (Node & { readonly kind: 'over'; readonly value: Expression; readonly source: Expression });
