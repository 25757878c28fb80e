/**
 * Code for nodes, one value or four lanes at a time. Every value computed is kept in a local for as long as the loop
 * that computed it runs (shared nodes are computed once), and `loop` first computes what does not change inside it.
 */
import { bug } from '../../../grammar/diagnostics/report.js';
import { bytesOf } from '../../tensor/program.js';
import type { ElementType } from '../../tensor/scalar.js';
import type { FunctionBuilder, Local } from './binary.js';
import { F32, I32, V128, op, simd } from './binary.js';
import type { Graph, Node } from './graph.js';
import type { MathFunctions } from './math.js';
import { Strides } from './strides.js';
import { scalarOperation, vectorOperation } from './operations.js';

interface Split {
  readonly inner: Node;
  readonly terms: readonly Node[];
  readonly coefficients: readonly number[];
}

/** What can be read in place of an address that means nothing: there is room before the first tensor. */
const safeAddress = 0;

/** What the scopes around hold of one kind, innermost last; a scope that holds none has no map. */
class Scoped<K, V> {
  private readonly scopes: (Map<K, V> | null)[] = [null];

  enter(): void {
    this.scopes.push(null);
  }

  leave(): void {
    this.scopes.pop();
  }

  get(key: K): V | undefined {
    for (let i = this.scopes.length - 1; i >= 0; i--) {
      const found = this.scopes[i]?.get(key);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  set(key: K, value: V): void {
    const last = this.scopes.length - 1;
    (this.scopes[last] ??= new Map()).set(key, value);
  }
}

export class Expressions {
  private readonly bindings = new Map<number, Local>();
  private bound = 0;
  /** Variables bound to vectors. */
  private varying = 0;
  private strides = new Strides(null, 0);
  private readonly scalars = new Scoped<Node, Local>();
  private readonly vectors = new Scoped<Node, Local>();
  private readonly words = new Scoped<string, readonly Local[]>();
  private readonly splits = new Map<Node, Split>();

  constructor(readonly f: FunctionBuilder, readonly graph: Graph, readonly math: MathFunctions) {}

  bind(variable: Node, local: Local, vector = false): void {
    this.bindings.set(variable.value, local);
    this.bound |= variable.variables;
    if (vector) {
      this.varying |= variable.variables;
      this.strides = new Strides(this.strides.variable, this.varying);
    }
  }

  unbind(variable: Node): void {
    this.bindings.delete(variable.value);
    this.bound &= ~variable.variables;
    if ((this.varying & variable.variables) !== 0) {
      this.varying &= ~variable.variables;
      this.strides = new Strides(this.strides.variable, this.varying);
    }
  }

  /** Four lanes along `variable` from here on (null: one value at a time). */
  lanesAlong(variable: Node | null): void {
    this.strides = new Strides(variable, this.varying);
  }

  strideOf(node: Node): number | null {
    return this.strides.of(node);
  }

  scope(body: () => void): void {
    const kinds = [this.scalars, this.vectors, this.words];
    for (const kind of kinds) kind.enter();
    body();
    for (const kind of kinds) kind.leave();
  }

  /** Counts `variable` from the value in its local; what `roots` need that does not depend on it is computed before. */
  loop(variable: Node, local: Local, pushEnd: () => void, step: number, roots: readonly Node[], body: () => void): void {
    this.hoist(roots);
    this.bind(variable, local);
    this.f.count(local, pushEnd, step, () => this.scope(body));
    this.unbind(variable);
  }

  /** Like `loop` with four lanes, then one at a time for what is left of `pushEnd() - begin`. */
  vectorLoop(variable: Node, local: Local, fixedEnd: number | null, pushEnd: () => void, roots: readonly Node[], body: () => void): void {
    const { f } = this;
    const vectorEnd = f.local(I32);
    this.lanesAlong(variable);
    if (fixedEnd === null || fixedEnd % 4 !== 0) {
      pushEnd();
      f.i32(-4).op(op.i32and).set(vectorEnd);
      this.loop(variable, local, () => f.get(vectorEnd), 4, roots, body);
    } else this.loop(variable, local, pushEnd, 4, roots, body);
    this.lanesAlong(null);
    if (fixedEnd === null || fixedEnd % 4 !== 0) this.loop(variable, local, pushEnd, 1, roots, body);
  }

  /** Computes now every largest part of `roots` that depends on bound variables only. */
  hoist(roots: readonly Node[]): void {
    const seen = new Map<Node, boolean>();
    const walk = (node: Node, lanes: boolean): void => {
      const before = seen.get(node);
      if (before === true || before === lanes) return;
      seen.set(node, lanes);
      if (node.op === 'const') return;
      if ((node.variables & ~this.bound) === 0) {
        if (this.strideOf(node) === null) { this.vector(node); this.f.op(op.drop); return; }
        if (node.op !== 'variable' && node.op !== 'base') { this.scalar(node); this.f.op(op.drop); }
        if (lanes) { this.vector(node); this.f.op(op.drop); }
        return;
      }
      const varies = this.strideOf(node) === null;
      if (node.op === 'load') {
        const addressVaries = this.strideOf(node.args[0]) === null;
        walk(node.args[0], addressVaries);
        if (node.args.length > 1) {
          walk(node.args[1], this.strideOf(node.args[1]) === null);
          walk(node.args[2], varies);
        }
      } else if (node.op === 'linear') {
        const { inner, terms } = this.split(node);
        walk(inner, false);
        for (const t of terms) walk(t, varies && this.strideOf(t) === null);
      } else for (const a of node.args) walk(a, varies);
    };
    for (const r of roots) walk(r, false);
  }

  /** A sum as the part that outer loops know and the terms of the innermost variable. */
  private split(node: Node): Split {
    const known = this.splits.get(node);
    if (known !== undefined) return known;
    const made = this.splitAnew(node);
    this.splits.set(node, made);
    return made;
  }

  private splitAnew(node: Node): Split {
    const rank = (n: Node): number => 32 - Math.clz32(n.variables);
    const top = Math.max(...node.args.map(rank));
    const [terms, coefficients]: [Node[], number[]] = [[], []];
    node.args.forEach((a, i) => {
      if (rank(a) < top) return;
      terms.push(a);
      coefficients.push(node.coefficients[i]);
    });
    return { inner: this.graph.some(node, (a) => rank(a) < top), terms, coefficients };
  }

  /** Pushes one value (of lane 0, when lanes are on and the node has a stride). bool is i32 0 or 1. */
  scalar(node: Node): void {
    const { f } = this;
    if (node.op === 'const') {
      if (node.type === 'f32') f.f32(node.value); else f.i32(node.value);
      return;
    }
    if (node.op === 'base') { f.get(node.value); return; }
    if (node.op === 'variable') {
      f.get(this.bindings.get(node.value) ?? bug('a variable is used outside its loop'));
      return;
    }
    const known = this.scalars.get(node);
    if (known !== undefined) { f.get(known); return; }
    this.computeScalar(node);
    const local = f.local(node.type === 'f32' ? F32 : I32);
    f.tee(local);
    this.scalars.set(node, local);
  }

  private computeScalar(node: Node): void {
    const { f } = this;
    switch (node.op) {
      case 'linear': {
        const { inner, terms, coefficients } = this.split(node);
        const empty = inner.op === 'const' && inner.value === 0;
        if (!empty) this.scalar(inner);
        terms.forEach((t, i) => {
          const k = coefficients[i];
          this.scalar(t);
          if (k !== 1) {
            const shift = Math.log2(k);
            if (Number.isInteger(shift)) f.i32(shift).op(op.i32shl); else f.i32(k).op(op.i32mul);
          }
          if (i > 0 || !empty) f.op(op.i32add);
        });
        return;
      }
      case 'load': {
        const guard = node.args.length > 1 ? node.args[1] : null;
        this.scalar(node.args[0]);
        if (guard !== null) { f.i32(safeAddress); this.scalar(guard); f.op(op.select); }
        this.loadOne(node.element);
        if (guard !== null) { this.scalar(node.args[2]); this.scalar(guard); f.op(op.select); }
        return;
      }
      case 'philox': {
        f.get(this.word(node, (a) => { this.scalar(a); f.simd(simd.i32splat); }));
        this.toUniform();
        f.lane(simd.f32extract, 0);
        return;
      }
      case 'const': case 'variable': case 'base': return bug('handled before');
      default: scalarOperation(f, this.math, node, (a) => this.scalar(a));
    }
  }

  /** [address] -> value */
  private loadOne(element: ElementType): void {
    const { f } = this;
    switch (element) {
      case 'f32': f.loadF32(); return;
      case 'f16': f.loadU16().simd(simd.i32splat).call(this.math.widen()).lane(simd.f32extract, 0); return;
      case 'u8': f.loadU8(); return;
      case 'i32': case 'bool': f.loadI32();
    }
  }

  /** [word] -> uniform in [0, 1) with 24 bits. */
  private toUniform(): void {
    this.f.i32(8).simd(simd.i32shrU).simd(simd.f32convertI32).f32x4(2 ** -24).simd(simd.f32mul);
  }

  /** The local holding a draw's word; all four words are made together. */
  private word(node: Node, push: (a: Node) => void): Local {
    const { f } = this;
    const key = `${node.args.map((a) => a.id).join()} ${this.strideOf(node) === null}`;
    const known = this.words.get(key);
    if (known !== undefined) return known[node.value];
    for (const a of node.args) push(a);
    f.call(this.math.philox());
    const locals = [0, 1, 2, 3].map(() => f.local(V128));
    for (const l of [...locals].reverse()) f.set(l);
    this.words.set(key, locals);
    return locals[node.value];
  }

  /** Pushes four lanes. bool is a mask of all ones or zeros. */
  vector(node: Node): void {
    const { f } = this;
    if (node.op === 'const') {
      if (node.type === 'f32') f.f32x4(node.value); else f.i32x4([node.type === 'bool' ? -node.value : node.value]);
      return;
    }
    const stride = this.strideOf(node);
    if (node.op === 'variable' && stride === null) { this.scalar(node); return; }
    const known = this.vectors.get(node);
    if (known !== undefined) { f.get(known); return; }
    if (stride === null) this.computeVector(node);
    else {
      if (node.type === 'bool') f.i32(0);
      this.scalar(node);
      if (node.type === 'bool') f.op(op.i32sub);
      f.simd(node.type === 'f32' ? simd.f32splat : simd.i32splat);
      if (stride !== 0) f.i32x4([0, stride, 2 * stride, 3 * stride]).simd(simd.i32add);
    }
    const local = f.local(V128);
    f.tee(local);
    this.vectors.set(node, local);
  }

  private computeVector(node: Node): void {
    const { f } = this;
    switch (node.op) {
      case 'linear': {
        // Terms with strides together as a scalar ramp, the others as vectors.
        this.vector(this.graph.some(node, (a) => this.strideOf(a) !== null));
        for (const [i, a] of node.args.entries()) {
          if (this.strideOf(a) !== null) continue;
          const k = node.coefficients[i];
          this.vector(a);
          if (k !== 1) {
            const shift = Math.log2(k);
            if (Number.isInteger(shift)) f.i32(shift).simd(simd.i32shl); else f.i32x4([k]).simd(simd.i32mul);
          }
          f.simd(simd.i32add);
        }
        return;
      }
      case 'load': this.loadVector(node); return;
      case 'philox': f.get(this.word(node, (a) => this.vector(a))); this.toUniform(); return;
      case 'const': case 'variable': case 'base': return bug('handled before');
      default: vectorOperation(f, this.math, node, (a) => this.vector(a), (a) => this.strideOf(a) === 0 ? () => this.scalar(a) : null);
    }
  }

  private loadVector(node: Node): void {
    const { f } = this;
    const [address, guard, otherwise] = node.args;
    const bytes = bytesOf(node.element);
    const stride = this.strideOf(address);
    const guardVaries = guard !== undefined && this.strideOf(guard) === null;
    if (stride === bytes || stride === 0) {
      this.scalar(address);
      if (guard !== undefined) {
        f.i32(safeAddress);
        if (guardVaries) { this.vector(guard); f.simd(simd.anyTrue); } else this.scalar(guard);
        f.op(op.select);
      }
      if (stride === 0) {
        if (bytes === 1) f.loadU8().simd(simd.i32splat); else if (bytes === 2) f.loadU16().simd(simd.i32splat); else f.loadV(simd.load32Splat);
      } else if (bytes === 2) f.loadV(simd.load64Zero).simd(simd.i32extendLowU16);
      else if (bytes === 1) f.loadV(simd.load32Zero).simd(simd.i16extendLowU8).simd(simd.i32extendLowU16);
      else f.loadV();
    } else if (stride !== null && guard === undefined) {
      const origin = f.local(I32);
      this.scalar(address);
      if (stride < 0) f.i32(3 * stride).op(op.i32add);
      f.set(origin);
      this.gather(node.element, () => f.get(origin), (k) => (stride < 0 ? (k - 3) * stride : k * stride));
    } else {
      const addresses = f.local(V128);
      this.vector(address);
      if (guard !== undefined) {
        f.i32x4([safeAddress]);
        if (guardVaries) { this.vector(guard); f.simd(simd.bitselect); } else { this.scalar(guard); f.op(op.select); }
      }
      f.set(addresses);
      this.gather(node.element, (k) => f.get(addresses).lane(simd.i32extract, k), () => 0);
    }
    if (node.element === 'bool') f.i32x4([0]).simd(simd.i32ne);
    if (node.element === 'f16') f.call(this.math.widen());
    if (guard !== undefined) {
      this.vector(otherwise);
      if (guardVaries) { this.vector(guard); f.simd(simd.bitselect); } else { this.scalar(guard); f.op(op.select); }
    }
  }

  private gather(element: ElementType, pushAddress: (lane: number) => void, offset: (lane: number) => number): void {
    const { f } = this;
    const gathered = f.local(V128);
    for (let k = 0; k < 4; k++) {
      if (element === 'u8' || element === 'f16') {
        if (k === 0) f.i32x4([0]); else f.get(gathered);
        pushAddress(k);
        if (element === 'u8') f.loadU8(offset(k)); else f.loadU16(offset(k));
        f.lane(simd.i32replace, k);
      } else {
        pushAddress(k);
        if (k === 0) f.loadV(simd.load32Zero, offset(0)); else f.get(gathered).laneMemory(simd.load32Lane, k, offset(k));
      }
      if (k < 3) f.set(gathered);
    }
  }

  /** Stores words that are already in locals, all of 4 bytes. */
  storeLocals(items: readonly { readonly address: Node; readonly local: Local; readonly real: boolean }[], lanes: boolean): void {
    for (const { address, local, real } of items) this.write(address, local, real ? 'f32' : 'i32', lanes);
  }

  /** Stores all values, each evaluated before the first is written. */
  store(items: readonly { readonly address: Node; readonly value: Node; readonly element: ElementType }[]): void {
    const { f } = this;
    const lanes = this.strides.variable !== null;
    const values = items.map(({ value }) => {
      const local = f.local(lanes ? V128 : value.type === 'f32' ? F32 : I32);
      if (lanes) {
        this.vector(value);
        if (value.type === 'bool') f.i32x4([1]).simd(simd.and);
      } else this.scalar(value);
      f.set(local);
      return local;
    });
    items.forEach(({ address, element }, i) => this.write(address, values[i], element, lanes));
  }

  private write(address: Node, value: Local, element: ElementType, lanes: boolean): void {
    const { f } = this;
    if (!lanes) {
      this.scalar(address);
      f.get(value);
      switch (element) {
        case 'f32': f.storeF32(); return;
        case 'f16': f.simd(simd.f32splat).call(this.math.narrow()).lane(simd.i32extract, 0).storeU16(); return;
        case 'u8': f.storeU8(); return;
        case 'i32': case 'bool': f.storeI32(); return;
      }
    }
    if (element === 'f16') f.get(value).call(this.math.narrow()).set(value);
    const stride = this.strideOf(address);
    if (stride === bytesOf(element) && stride === 4) {
      this.scalar(address);
      f.get(value).storeV();
      return;
    }
    if (stride === 2 && element === 'f16') {
      this.scalar(address);
      f.get(value).get(value).simd(simd.i16narrowI32).laneMemory(simd.store64Lane, 0);
      return;
    }
    const origin = f.local(stride === null ? V128 : I32);
    if (stride === null) this.vector(address); else this.scalar(address);
    if (stride !== null && stride < 0) f.i32(3 * stride).op(op.i32add);
    f.set(origin);
    for (let k = 0; k < 4; k++) {
      f.get(origin);
      if (stride === null) f.lane(simd.i32extract, k);
      const offset = stride === null ? 0 : stride < 0 ? (k - 3) * stride : k * stride;
      f.get(value);
      if (element === 'u8') f.lane(simd.i32extract, k).storeU8(offset);
      else if (element === 'f16') f.lane(simd.i32extract, k).storeU16(offset);
      else f.laneMemory(simd.store32Lane, k, offset);
    }
  }
}
