/**
 * Writes scalars as WGSL. Every value is declared in the outermost place where its variables exist, so what does not
 * change in a loop is computed before it, and equal expressions are written once.
 *
 * A `Frame` is a place in the text where declarations can go, with the index variables and accumulators known there. An
 * `Environment` is a chain of frames, outer to inner: `[kernel, row 2 of the tile, loop over k]`. A value lives in the
 * last frame of the chain that binds one of its variables.
 */
import { assertNever, bug } from '../../../grammar/diagnostics/report.js';
import type { Scalar, TensorId } from '../../tensor/scalar.js';
import { affineOf, visit } from '../../tensor/scalar.js';
import type { TensorAccess } from './bindings.js';
import type { HelperName } from './functions.js';
import { elementText, loadText, namesAddress, storeText, storeWordText } from './memory-text.js';
import { intLiteral } from './names.js';
import type { Range } from './ranges.js';
import { rangeOf } from './ranges.js';
import { binaryText, constantText, unaryText } from './operators.js';

/** Lines and nested pieces, in order. */
export interface Block {
  readonly items: (string | Block)[];
  readonly indent: number;
}

export interface Frame {
  /** Declarations of values that live here. */
  readonly block: Block;
  /** Statements after them: the block the frame was opened in. */
  readonly body: Block;
  /** Names of index variables; a function declares the variable when it is first needed. */
  readonly axes: Map<number, string | (() => string)>;
  readonly accumulators: Map<number, string>;
  /** Declared expressions, by their text. */
  readonly declared: Map<string, string>;
  /** Several axes that one variable counts row-major: reads in that order use it directly. */
  readonly linear: { readonly name: string; readonly axes: readonly number[]; readonly extents: readonly number[] } | null;
}

export interface Environment {
  readonly frames: readonly Frame[];
  readonly memo: Map<Scalar, Piece>;
  /** One of four places in a row: what is read in vectors is read once, at the first of them. */
  readonly lane?: { readonly first: Environment; readonly index: number };
}

/** A written expression: `level` is the frame it lives in; an `atom` is a name or constant; a `closed` text needs no parentheses. */
export interface Piece {
  readonly text: string;
  readonly level: number;
  readonly atom: boolean;
  readonly closed?: boolean;
}

export function renderBlock(block: Block): string[] {
  return block.items.flatMap((item) => (typeof item === 'string' ? [`${'  '.repeat(block.indent)}${item}`] : renderBlock(item)));
}

export class KernelWriter {
  readonly helpers = new Set<HelperName>();
  readonly root: Frame;
  private readonly names = new Map<string, number>();
  private readonly uses = new Map<Scalar, number>();
  private startsUsed = false;
  private placeOf: (tensor: TensorId) => Scalar | null = () => null;
  /** Tensors that are read four elements at a time. */
  private vectors: ReadonlySet<TensorId> = new Set();

  constructor(
    readonly access: ReadonlyMap<TensorId, TensorAccess>,
    private readonly axisRange: (axis: number) => Range,
    roots: readonly Scalar[],
    private readonly rolled = false,
  ) {
    this.root = this.frame({ items: [], indent: 1 });
    const seen = new Set<Scalar>();
    const count = (s: Scalar): void => { this.uses.set(s, (this.uses.get(s) ?? 0) + 1); };
    for (const root of roots) {
      count(root);
      visit(root, (s) => {
        switch (s.kind) {
          case 'read': s.at.forEach(count); if (s.otherwise !== null) count(s.otherwise); break;
          case 'unary': case 'cast': count(s.x); break;
          case 'binary': count(s.a); count(s.b); break;
          case 'select': count(s.condition); count(s.a); count(s.b); break;
          default: break;
        }
      }, seen);
    }
  }

  /** A new name: `base_N`. */
  name(base: string): string {
    const n = this.names.get(base) ?? 0;
    this.names.set(base, n + 1);
    return `${base}_${n}`;
  }

  /** A frame whose declarations go at the end of `block` as it is now. */
  frame(block: Block, linear: Frame['linear'] = null): Frame {
    const inner: Block = { items: [], indent: block.indent };
    block.items.push(inner);
    return { block: inner, body: block, axes: new Map(), accumulators: new Map(), declared: new Map(), linear };
  }

  /** Writes `header {`, the frame of the new block, and `}`. */
  nested(block: Block, header: string): Frame {
    block.items.push(`${header} {`);
    const inner: Block = { items: [], indent: block.indent + 1 };
    block.items.push(inner, '}');
    return this.frame(inner);
  }

  /**
   * A loop over `name` from 0, in steps. `rolled` keeps drivers from unrolling it, by a start that they cannot see is zero: software
   * adapters take minutes to compile nests of short loops that they have unrolled.
   */
  loop(block: Block, name: string, size: number, step = 1): Frame {
    if (this.rolled) this.startsUsed = true;
    return this.nested(block, `for (var ${name} = ${this.rolled ? 'start' : '0'}; ${name} < ${size}; ${step === 1 ? `${name}++` : `${name} += ${step}`})`);
  }

  /** Declarations that the body needs before it. */
  preamble(): readonly string[] {
    return this.startsUsed ? ['let start = min(group, 0);'] : [];
  }

  environment(...frames: readonly Frame[]): Environment {
    return { frames: [this.root, ...frames], memo: new Map() };
  }

  /** The same expressions at four places in a row, for which `frames` are given each. */
  lanes(frames: readonly (readonly Frame[])[]): readonly Environment[] {
    const first = this.environment(...frames[0]);
    return frames.map((of, index) => ({ ...this.environment(...of), lane: { first, index } }));
  }

  /** Says where a point goes in tensors in which it does not lie as the kernel counts its points. */
  storeAt(placeOf: (tensor: TensorId) => Scalar | null): void {
    this.placeOf = placeOf;
  }

  /** The address of a point in a tensor; null: as the kernel counts its points. */
  addressIn(tensor: TensorId, environment: Environment): string | null {
    const place = this.placeOf(tensor);
    return place === null ? null : this.value(place, environment);
  }

  /** From here on these tensors are read in vectors, in environments made by `lanes`. */
  readInVectors(tensors: ReadonlySet<TensorId>): void {
    this.vectors = tensors;
  }

  /** Binds axes of a row-major count: `name` counts them all; each is decoded when first used. */
  bindDecoded(frame: Frame, name: string, axes: readonly number[], extents: readonly number[], prefix: string): void {
    let stride = 1;
    for (let i = axes.length - 1; i >= 0; i--) {
      const size = extents[i];
      const divided = stride === 1 ? name : `${name} / ${stride}`;
      const first = axes.slice(0, i).every((_, j) => extents[j] === 1);
      const text = size === 1 ? '0' : first ? divided : stride === 1 ? `${name} % ${size}` : `(${divided}) % ${size}`;
      if (text === '0' || text === name) frame.axes.set(axes[i], text);
      else frame.axes.set(axes[i], () => this.declareIn(frame, `${prefix}${axes[i]}`, text, true));
      stride *= size;
    }
  }

  private declareIn(frame: Frame, base: string, text: string, exact = false): string {
    const known = frame.declared.get(text);
    if (known !== undefined) return known;
    const name = exact && !this.names.has(base) ? base : this.name(base);
    if (exact) this.names.set(base, this.names.get(base) ?? 0);
    frame.block.items.push(`let ${name} = ${text};`);
    frame.declared.set(text, name);
    return name;
  }

  private declare(environment: Environment, piece: Piece, base: string): Piece {
    for (const frame of environment.frames.slice(0, piece.level + 1)) {
      const known = frame.declared.get(piece.text);
      if (known !== undefined) return { text: known, level: piece.level, atom: true };
    }
    return { text: this.declareIn(environment.frames[piece.level], base, piece.text), level: piece.level, atom: true };
  }

  /** The expression of `s`, valid at the innermost frame. */
  value(s: Scalar, environment: Environment): string {
    return this.hoisted(this.write(s, environment), environment.frames.length - 1, environment, false).text;
  }

  /** The name of a variable holding `s`. */
  variable(s: Scalar, environment: Environment, base = 'v'): string {
    const piece = this.write(s, environment);
    return piece.atom ? piece.text : this.declare(environment, piece, base).text;
  }

  private axis(axis: number, environment: Environment): Piece {
    for (let level = environment.frames.length - 1; level >= 0; level--) {
      const frame = environment.frames[level];
      const name = frame.axes.get(axis);
      if (name === undefined) continue;
      if (typeof name === 'string') return { text: name, level: /^[0-9]+$/.test(name) ? 0 : level, atom: true };
      const declared = name();
      frame.axes.set(axis, declared);
      return { text: declared, level, atom: true };
    }
    return bug(`index variable ${axis} is not known here`);
  }

  /** Makes a piece usable at `level`: moved to its own frame when that lies further out, or wrapped in parentheses. */
  private hoisted(piece: Piece, level: number, environment: Environment, operand = true): Piece {
    if (piece.atom) return piece;
    if (piece.level < level || piece.text.length > 90) return this.declare(environment, piece, 'v');
    return operand && piece.closed !== true ? { ...piece, text: `(${piece.text})`, atom: true } : piece;
  }

  /** Combines operands into an expression at the innermost level among them. */
  combine(parts: readonly Piece[], environment: Environment, text: (operands: readonly string[]) => string, closed = false): Piece {
    const level = Math.max(0, ...parts.map((p) => p.level));
    return { text: text(parts.map((p) => this.hoisted(p, level, environment).text)), level, atom: false, closed };
  }

  write(s: Scalar, environment: Environment): Piece {
    const known = environment.memo.get(s);
    if (known !== undefined) return known;
    let piece = this.writeNew(s, environment);
    const shared = (this.uses.get(s) ?? 0) > 1;
    const costly = s.kind === 'draw' || (s.kind === 'unary' && !['neg', 'not', 'abs', 'stop'].includes(s.op)) || (s.kind === 'binary' && (s.op === 'pow' || s.op === 'atan2'));
    if (!piece.atom && (shared || costly || s.kind === 'read')) {
      const base = s.kind === 'read' ? this.accessOf(s.tensor).label : s.kind === 'unary' ? s.op : s.kind === 'draw' ? 'draw' : s.type === 'bool' ? 'test' : 'v';
      piece = this.declare(environment, piece, base);
    }
    environment.memo.set(s, piece);
    return piece;
  }

  private writeNew(s: Scalar, environment: Environment): Piece {
    const of = (x: Scalar): Piece => this.write(x, environment);
    switch (s.kind) {
      case 'const': return { text: constantText(s.type, s.value, this.helpers), level: 0, atom: true };
      case 'index': return this.axis(s.axis, environment);
      case 'accumulator': {
        for (let level = environment.frames.length - 1; level >= 0; level--) {
          const name = environment.frames[level].accumulators.get(s.slot);
          if (name !== undefined) return { text: name, level, atom: true };
        }
        return bug(`accumulator ${s.slot} is not known here`);
      }
      case 'unary': {
        if (s.op === 'stop') return of(s.x);
        const { op, type } = s;
        if (type === 'i32' && affineOf(s) !== null) return this.affine(s, environment);
        return this.combine([of(s.x)], environment, ([x]) => unaryText(op, type, x, s.x, this.helpers));
      }
      case 'binary': {
        if (s.type === 'i32' && affineOf(s) !== null) return this.affine(s, environment);
        // x != x is how a NaN is looked for; some drivers fold it away, so its bits are tested.
        if (s.a === s.b && s.a.type === 'f32' && (s.op === 'ne' || s.op === 'eq')) {
          this.helpers.add('is_nan');
          return this.combine([of(s.a)], environment, ([x]) => `${s.op === 'eq' ? '!' : ''}is_nan(${x})`);
        }
        return this.combine([of(s.a), of(s.b)], environment, ([a, b]) =>
          binaryText(s.op, s.a.type, a, b, rangeOf(s.a, this.axisRange), rangeOf(s.b, this.axisRange), s.b, this.helpers));
      }
      case 'select':
        return this.combine([of(s.condition), of(s.a), of(s.b)], environment, ([c, a, b]) => `select(${b}, ${a}, ${c})`, true);
      case 'cast': {
        const { type } = s;
        const from = s.x.type;
        return this.combine([of(s.x)], environment, ([x]) =>
          type === 'bool' ? `${x} != ${from === 'f32' ? '0.0' : '0'}` : from === 'bool' ? (type === 'f32' ? `select(0.0, 1.0, ${x})` : `select(0, 1, ${x})`) : `${type}(${x})`);
      }
      case 'draw': {
        this.helpers.add('philox');
        const words = this.combine([of(s.site), of(s.seed), of(s.step), of(s.example), of(s.element)], environment, ([site, seed, step, example, element]) =>
          `philox(${seed}, ${site}, ${step}, ${example}, ${element})`);
        const name = this.declare(environment, words, 'words');
        return { text: `f32(${name.text}.${'xyzw'[s.lane]} >> 8u) * 5.9604644775390625e-8`, level: name.level, atom: false };
      }
      case 'read': return this.read(s, environment);
      default: return assertNever(s);
    }
  }

  private affine(s: Scalar, environment: Environment): Piece {
    const form = affineOf(s) ?? bug('not an affine index');
    return this.sumOf([...form.coefficients].map(([axis, coefficient]) => ({ axis, coefficient })), [], form.constant, environment);
  }

  /** constant + sum of coefficient * axis + sum of coefficient * piece, outer parts declared in their own frames. */
  private sumOf(axes: readonly { axis: number; coefficient: number }[], pieces: readonly { piece: Piece; coefficient: number }[], constant: number, environment: Environment): Piece {
    let terms: { piece: Piece; coefficient: number }[] = [...pieces];
    let left = [...axes];
    for (const [level, frame] of environment.frames.entries()) {
      const linear = frame.linear;
      if (linear === null) continue;
      const scale = this.linearScale(linear, left);
      if (scale === null) continue;
      left = left.filter((a) => !linear.axes.includes(a.axis));
      terms.push({ piece: { text: linear.name, level, atom: true }, coefficient: scale });
    }
    terms.push(...left.map((a) => ({ piece: this.axis(a.axis, environment), coefficient: a.coefficient })));
    terms = terms.filter((t) => t.piece.text !== '0');
    if (terms.length === 0) return { text: intLiteral(constant), level: 0, atom: true };
    const levels = [...new Set(terms.map((t) => t.piece.level))].sort((a, b) => a - b);
    let sum: Piece | null = null;
    for (const level of levels) {
      const here = terms.filter((t) => t.piece.level === level);
      let text: string = sum === null ? '' : this.hoisted(sum, level, environment).text;
      for (const { piece, coefficient } of here) {
        const name = this.hoisted(piece, level, environment).text;
        const size = Math.abs(coefficient);
        const term = size === 1 ? name : `${size} * ${name}`;
        text = text === '' ? (coefficient < 0 ? `-${term}` : term) : `${text} ${coefficient < 0 ? '-' : '+'} ${term}`;
      }
      if (sum === null && constant !== 0) text = `${text} ${constant < 0 ? '-' : '+'} ${intLiteral(Math.abs(constant))}`;
      sum = { text, level, atom: /^[A-Za-z0-9_]+$/.test(text) };
    }
    return sum ?? bug('an empty sum');
  }

  private linearScale(linear: NonNullable<Frame['linear']>, terms: readonly { axis: number; coefficient: number }[]): number | null {
    const coefficients = new Map(terms.map((t) => [t.axis, t.coefficient]));
    let stride = 1;
    let scale: number | null = null;
    for (let i = linear.axes.length - 1; i >= 0; i--) {
      if (linear.extents[i] === 1) continue;
      const coefficient = coefficients.get(linear.axes[i]);
      if (coefficient === undefined || (scale !== null && coefficient !== scale * stride) || (scale === null && coefficient % stride !== 0)) return null;
      scale ??= coefficient / stride;
      stride *= linear.extents[i];
    }
    return scale;
  }

  private accessOf(tensor: TensorId): TensorAccess {
    return this.access.get(tensor) ?? bug(`tensor ${tensor} is not bound`);
  }

  private read(s: Extract<Scalar, { kind: 'read' }>, at: Environment): Piece {
    const access = this.accessOf(s.tensor);
    const lane = this.vectors.has(s.tensor) ? at.lane ?? bug('a vector is read outside of its lanes') : null;
    const environment = lane?.first ?? at;
    const axes = new Map<number, number>();
    const pieces: { piece: Piece; coefficient: number }[] = [];
    const conditions: Piece[] = [];
    let constant = access.base;
    let stride = 1;
    for (let d = s.at.length - 1; d >= 0; d--) {
      const size = access.shape[d];
      const place = s.at[d];
      const range = rangeOf(place, this.axisRange);
      const inside = range.low >= 0 && range.high < size;
      const form = affineOf(place);
      if (!inside && s.otherwise !== null) {
        const piece = this.write(place, environment);
        if (range.low < 0) conditions.push(this.combine([piece], environment, ([x]) => `${x} >= 0`));
        if (range.high >= size) conditions.push(this.combine([piece], environment, ([x]) => `${x} < ${size}`));
      }
      if (form !== null && (inside || s.otherwise !== null)) {
        constant += form.constant * stride;
        for (const [axis, coefficient] of form.coefficients) axes.set(axis, (axes.get(axis) ?? 0) + coefficient * stride);
      } else if (inside || s.otherwise !== null) {
        pieces.push({ piece: this.write(place, environment), coefficient: stride });
      } else {
        pieces.push({ piece: this.combine([this.write(place, environment)], environment, ([x]) => `clamp(${x}, 0, ${size - 1})`, true), coefficient: stride });
      }
      stride *= size;
    }
    const address = this.sumOf([...axes].filter(([, c]) => c !== 0).map(([axis, coefficient]) => ({ axis, coefficient })), pieces, constant, environment);
    const load = (from: Piece): Piece => (lane === null ? this.load(access, from, environment) : this.loadLane(access, from, environment, lane.index));
    if (conditions.length === 0 || s.otherwise === null) return load(address);
    conditions.reverse();
    const test = this.conjunction(conditions, environment);
    const safe = this.combine([address, test], environment, ([a, t]) => `select(0, ${a}, ${t})`, true);
    return this.combine([this.write(s.otherwise, at), load(safe), test], at, ([o, x, t]) => `select(${o}, ${x}, ${t})`, true);
  }

  /** All conditions, those of outer frames declared there; the result is a name. */
  private conjunction(conditions: readonly Piece[], environment: Environment): Piece {
    const levels = [...new Set(conditions.map((c) => c.level))].sort((a, b) => a - b);
    let all: Piece | null = null;
    for (const level of levels) {
      const here = conditions.filter((c) => c.level === level);
      const parts: Piece[] = all === null ? here : [all, ...here];
      const joined: Piece = parts.length === 1 ? parts[0] : { text: parts.map((p) => p.text).join(' && '), level, atom: false };
      all = this.declare(environment, joined, 'inside');
    }
    return all ?? bug('no conditions');
  }

  private load(access: TensorAccess, address: Piece, environment: Environment): Piece {
    const at = !namesAddress(access) || address.atom ? address : this.declare(environment, address, 'at');
    return { ...loadText(access, at.text), level: at.level, atom: false };
  }

  /** One element of the vector at `address`, which is read once for all its lanes. */
  private loadLane(access: TensorAccess, address: Piece, environment: Environment, index: number): Piece {
    const vector = this.declare(environment, this.combine([address], environment, ([a]) => `${access.binding.name}[${a} / 4]`, true), `${access.label}_vector`);
    const part = `${vector.text}.${'xyzw'[index]}`;
    return { text: access.element === 'f16' ? `f32(${part})` : part, level: vector.level, atom: false, closed: true };
  }

  /** The element of an f32 or i32 tensor at `address`, as it is in memory now. */
  element(tensor: TensorId, address: string): string {
    return elementText(this.accessOf(tensor), address);
  }

  /** Writes `tensor[address] = value;` into a frame's block; `address` counts elements from the tensor's start. */
  store(block: Block, tensor: TensorId, address: string, value: string, type: Scalar['type']): void {
    block.items.push(storeText(this.accessOf(tensor), address, value, type));
  }

  /** Writes four u8 elements, packed in `value`, as word number `word` of the tensor. */
  storeWord(block: Block, tensor: TensorId, word: string, value: string): void {
    block.items.push(storeWordText(this.accessOf(tensor), word, value));
  }

  /** The sizes of a tensor's axes. */
  readonly shapeOf = (tensor: TensorId): readonly number[] => this.accessOf(tensor).shape;

  /** The element type a tensor is stored with. */
  readonly elementOf = (tensor: TensorId): TensorAccess['element'] => this.accessOf(tensor).element;
}
