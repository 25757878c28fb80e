/**
 * Elementary functions on four f32 lanes, and Philox, as WebAssembly functions made on first use. The scalar forms
 * call these too, so a value never depends on whether it was computed in a lane or alone.
 */
import { arcTangent, circular, errorFunction, exponential, hyperbolicTangent, logarithm, philox, power } from '../polynomials.js';
import type { Polynomial } from '../polynomials.js';
import type { Local, Module } from './binary.js';
import { FunctionBuilder, I32, V128, op, simd } from './binary.js';
import { makeNarrow, makeWiden } from './half.js';

export type Elementary = 'exp' | 'log' | 'log1p' | 'sin' | 'cos' | 'tanh' | 'erf' | 'pow' | 'atan2';

const signBit = 0x80000000 | 0;

/** Leaves P(x) on the stack. */
function horner(f: FunctionBuilder, polynomial: Polynomial, x: Local): FunctionBuilder {
  f.f32x4(polynomial[0]);
  for (const c of polynomial.slice(1)) f.get(x).simd(simd.f32mul).f32x4(c).simd(simd.f32add);
  return f;
}

/** [y, x as int] -> y * 2^n in two halves; `n` is an i32x4 local. */
function scaleByPower(f: FunctionBuilder, n: Local): void {
  const half = f.local(V128);
  const power2 = (): FunctionBuilder => f.i32x4([127]).simd(simd.i32add).i32(23).simd(simd.i32shl).simd(simd.f32mul);
  f.get(n).i32(1).simd(simd.i32shrS).tee(half);
  power2();
  f.get(n).get(half).simd(simd.i32sub);
  power2();
}

/** r in a local -> exp polynomial of r on the stack. */
function expOfReduced(f: FunctionBuilder, r: Local): void {
  horner(f, exponential.polynomial, r).get(r).simd(simd.f32mul).get(r).simd(simd.f32mul).get(r).simd(simd.f32add).f32x4(1).simd(simd.f32add);
}

/** Results of arguments below this in magnitude are neither subnormal nor near overflow. */
const plainExp = 86;
/** A float so large that what is added to it is rounded to a whole number, in its last bits. */
const roundingFloat = 1.5 * 2 ** 23;

/** Pushes a * b + c, in one operation where that may be. */
function multiplyAdd(f: FunctionBuilder, relaxed: boolean, a: () => void, b: () => void, c: () => void): void {
  a();
  b();
  if (relaxed) {
    c();
    f.simd(simd.relaxedMadd);
  } else {
    f.simd(simd.f32mul);
    c();
    f.simd(simd.f32add);
  }
}

/** [x] -> exp(x), four lanes by a shorter way where all of them are of plain size, else by `general`. */
function emitExp(f: FunctionBuilder, relaxed: boolean, general: number): FunctionBuilder {
  const [x, t, n, r, y] = [f.local(V128), f.local(V128), f.local(V128), f.local(V128), f.local(V128)];
  const local = (l: Local) => () => f.get(l);
  const constant = (k: number) => () => f.f32x4(k);
  f.tee(x).simd(simd.f32abs).f32x4(plainExp).simd(simd.f32lt).simd(simd.i32allTrue).if(() => {
    multiplyAdd(f, relaxed, local(x), constant(exponential.log2e), constant(roundingFloat));
    f.tee(t).f32x4(roundingFloat).simd(simd.f32sub).set(n);
    multiplyAdd(f, relaxed, local(n), constant(-exponential.ln2High), local(x));
    f.set(r);
    multiplyAdd(f, relaxed, local(n), constant(-exponential.ln2Low), local(r));
    f.set(r).f32x4(exponential.polynomial[0]).set(y);
    for (const c of exponential.polynomial.slice(1)) {
      multiplyAdd(f, relaxed, local(y), local(r), constant(c));
      f.set(y);
    }
    multiplyAdd(f, relaxed, () => f.get(y).get(r).simd(simd.f32mul), local(r), local(r));
    // Doublings and halvings go into the exponent.
    f.f32x4(1).simd(simd.f32add).get(t).i32(23).simd(simd.i32shl).simd(simd.i32add).set(y);
  }, () => f.get(x).call(general).set(y));
  return f.get(y);
}

function makeGeneralExp(): FunctionBuilder {
  const f = new FunctionBuilder([V128], [V128]);
  const [x, n, r, y] = [f.local(V128), f.local(V128), f.local(V128), f.local(V128)];
  // What a mask leaves out of a softmax: the way through subnormal numbers takes a hundred times as long.
  f.get(0).f32x4(exponential.low).simd(simd.f32lt).simd(simd.i32allTrue).if(() => f.f32x4(0).set(y), () => {
    f.f32x4(exponential.low).get(0).simd(simd.f32pmax).set(x);
    f.f32x4(exponential.high).get(x).simd(simd.f32pmin).tee(x);
    f.f32x4(exponential.log2e).simd(simd.f32mul).simd(simd.f32nearest).set(n);
    f.get(x).get(n).f32x4(exponential.ln2High).simd(simd.f32mul).simd(simd.f32sub);
    f.get(n).f32x4(exponential.ln2Low).simd(simd.f32mul).simd(simd.f32sub).set(r);
    f.get(n).simd(simd.i32truncSatF32).set(n);
    expOfReduced(f, r);
    scaleByPower(f, n);
    // The clamps let NaN pass as a bound: give it back.
    f.get(0).get(0).get(0).simd(simd.f32eq).simd(simd.bitselect).set(y);
  });
  return f.get(y);
}

/** Splits |x| (in `x`, positive) into e (f32 local) and f = m - 1 (local). */
function splitExponent(f: FunctionBuilder, x: Local, e: Local, fraction: Local): void {
  const [tiny, t] = [f.local(V128), f.local(V128)];
  f.get(x).f32x4(1.17549435e-38).simd(simd.f32lt).set(tiny);
  f.get(x).f32x4(8388608).simd(simd.f32mul).get(x).get(tiny).simd(simd.bitselect).set(x);
  f.get(x).i32x4([logarithm.sqrtHalfBits]).simd(simd.i32sub).tee(t);
  f.i32(23).simd(simd.i32shrS).get(tiny).i32x4([23]).simd(simd.and).simd(simd.i32sub).simd(simd.f32convertI32).set(e);
  f.get(t).i32x4([0x007fffff]).simd(simd.and).i32x4([logarithm.sqrtHalfBits]).simd(simd.i32add).f32x4(1).simd(simd.f32sub).set(fraction);
}

/** (f + ((P * f * z + e*low) - z/2)) + e*high on the stack; without `e`, e = 0. */
function logOfReduced(f: FunctionBuilder, fraction: Local, e: Local | null): void {
  const z = f.local(V128);
  f.get(fraction).get(fraction).simd(simd.f32mul).set(z);
  horner(f, logarithm.polynomial, fraction).get(fraction).simd(simd.f32mul).get(z).simd(simd.f32mul);
  if (e !== null) f.get(e).f32x4(logarithm.ln2Low).simd(simd.f32mul).simd(simd.f32add);
  f.get(z).f32x4(0.5).simd(simd.f32mul).simd(simd.f32sub).get(fraction).simd(simd.f32add);
  if (e !== null) f.get(e).f32x4(logarithm.ln2High).simd(simd.f32mul).simd(simd.f32add);
}

/** Replaces the value on the stack by log's limits of the argument in `x`. */
function logLimits(f: FunctionBuilder, x: Local): void {
  const r = f.local(V128);
  f.set(r);
  // infinity and NaN stay themselves; 0 gives -infinity; negatives NaN
  f.get(x).get(r).get(x).f32x4(3.4028234663852886e38).simd(simd.f32le).simd(simd.not).simd(simd.bitselect).set(r);
  f.f32x4(-Infinity).get(r).get(x).f32x4(0).simd(simd.f32eq).simd(simd.bitselect).set(r);
  f.f32x4(NaN).get(r).get(x).f32x4(0).simd(simd.f32lt).simd(simd.bitselect);
}

function makeLog(): FunctionBuilder {
  const f = new FunctionBuilder([V128], [V128]);
  const [x, e, m] = [f.local(V128), f.local(V128), f.local(V128)];
  f.get(0).set(x);
  splitExponent(f, x, e, m);
  logOfReduced(f, m, e);
  logLimits(f, 0);
  return f;
}

function makeLog1p(): FunctionBuilder {
  const f = new FunctionBuilder([V128], [V128]);
  const [u, x, e, m, direct] = [f.local(V128), f.local(V128), f.local(V128), f.local(V128), f.local(V128)];
  f.get(0).f32x4(1).simd(simd.f32add).tee(u).set(x);
  splitExponent(f, x, e, m);
  f.get(0).f32x4(logarithm.directLow).simd(simd.f32ge).get(0).f32x4(logarithm.directHigh).simd(simd.f32le).simd(simd.and).set(direct);
  f.get(0).get(m).get(direct).simd(simd.bitselect).set(m);
  f.get(e).get(direct).simd(simd.andnot).set(e);
  logOfReduced(f, m, e);
  logLimits(f, u);
  // Tiny arguments, minus zero included, are their own value.
  const r = f.local(V128);
  f.set(r).get(0).get(r).get(0).simd(simd.f32abs).f32x4(1e-8).simd(simd.f32lt).simd(simd.bitselect);
  return f;
}

function makeTanh(exp: number): FunctionBuilder {
  const f = new FunctionBuilder([V128], [V128]);
  const [a, z] = [f.local(V128), f.local(V128)];
  f.get(0).get(0).simd(simd.f32mul).set(z);
  f.get(0).simd(simd.f32abs).set(a);
  horner(f, hyperbolicTangent.polynomial, z).get(z).simd(simd.f32mul).get(0).simd(simd.f32mul).get(0).simd(simd.f32add);
  f.f32x4(1).f32x4(2);
  // NaN passes through the minimum: pmin gives its first operand unless the second is less.
  f.get(a).f32x4(hyperbolicTangent.large).simd(simd.f32pmin).f32x4(2).simd(simd.f32mul).call(exp);
  f.f32x4(1).simd(simd.f32add).simd(simd.f32div).simd(simd.f32sub);
  f.get(0).i32x4([signBit]).simd(simd.and).simd(simd.or);
  f.get(a).f32x4(hyperbolicTangent.small).simd(simd.f32lt).simd(simd.bitselect);
  return f;
}

function makeErf(exp: number): FunctionBuilder {
  const f = new FunctionBuilder([V128], [V128]);
  const [a, s, u] = [f.local(V128), f.local(V128), f.local(V128)];
  f.get(0).simd(simd.f32abs).tee(a).f32x4(errorFunction.large).simd(simd.f32pmin).set(u);
  f.get(0).get(0).simd(simd.f32mul).set(s);
  horner(f, errorFunction.near, s).get(0).simd(simd.f32mul).get(0).simd(simd.f32add);
  f.f32x4(1);
  horner(f, errorFunction.tail, u).get(u).simd(simd.f32mul).get(u).simd(simd.f32sub).call(exp).simd(simd.f32sub);
  f.get(0).i32x4([signBit]).simd(simd.and).simd(simd.or);
  f.get(a).f32x4(errorFunction.split).simd(simd.f32le).simd(simd.bitselect);
  return f;
}

/** sin (quarter = 0) or cos (quarter = 1): a cosine is a sine a quarter turn on. */
function makeCircular(quarter: 0 | 1): FunctionBuilder {
  const f = new FunctionBuilder([V128], [V128]);
  const [j, r, z, q] = [f.local(V128), f.local(V128), f.local(V128), f.local(V128)];
  f.get(0).f32x4(circular.twoOverPi).simd(simd.f32mul).simd(simd.f32nearest).set(j);
  f.get(0);
  for (const part of [circular.piHalf1, circular.piHalf2, circular.piHalf3]) f.get(j).f32x4(part).simd(simd.f32mul).simd(simd.f32sub);
  f.tee(r).get(r).simd(simd.f32mul).set(z);
  f.get(j).simd(simd.i32truncSatF32).i32x4([quarter]).simd(simd.i32add).set(q);
  horner(f, circular.cosine, z).get(z).simd(simd.f32mul).get(z).simd(simd.f32mul);
  f.get(z).f32x4(0.5).simd(simd.f32mul).simd(simd.f32sub).f32x4(1).simd(simd.f32add);
  horner(f, circular.sine, z).get(z).simd(simd.f32mul).get(r).simd(simd.f32mul).get(r).simd(simd.f32add);
  f.i32x4([0]).get(q).i32x4([1]).simd(simd.and).simd(simd.i32sub).simd(simd.bitselect);
  f.get(q).i32x4([2]).simd(simd.and).i32(30).simd(simd.i32shl).simd(simd.xor);
  return f;
}

function makeAtan2(): FunctionBuilder {
  const f = new FunctionBuilder([V128, V128], [V128]);
  const [a, b, hi, lo, t, far, z] = [f.local(V128), f.local(V128), f.local(V128), f.local(V128), f.local(V128), f.local(V128), f.local(V128)];
  f.get(0).simd(simd.f32abs).set(a);
  f.get(1).simd(simd.f32abs).set(b);
  f.get(a).get(b).simd(simd.f32max).set(hi);
  f.get(a).get(b).simd(simd.f32min).tee(lo).get(hi).simd(simd.f32div).set(t);
  f.f32x4(1).get(t).get(lo).f32x4(Infinity).simd(simd.f32eq).simd(simd.bitselect).set(t);
  f.f32x4(0).get(t).get(hi).f32x4(0).simd(simd.f32eq).simd(simd.bitselect).set(t);
  f.get(t).f32x4(arcTangent.tanPi8).simd(simd.f32gt).set(far);
  f.get(t).f32x4(1).simd(simd.f32sub).get(t).f32x4(1).simd(simd.f32add).simd(simd.f32div).get(t).get(far).simd(simd.bitselect).tee(t);
  f.get(t).simd(simd.f32mul).set(z);
  horner(f, arcTangent.polynomial, z).get(z).simd(simd.f32mul).get(t).simd(simd.f32mul).get(t).simd(simd.f32add);
  f.f32x4(arcTangent.piQuarter).get(far).simd(simd.and).simd(simd.f32add).set(t);
  f.f32x4(arcTangent.piHalf).get(t).simd(simd.f32sub).get(t).get(a).get(b).simd(simd.f32gt).simd(simd.bitselect).set(t);
  // The sign bit of x, so that minus zero turns too.
  f.f32x4(arcTangent.pi).get(t).simd(simd.f32sub).get(t).get(1).i32(31).simd(simd.i32shrS).simd(simd.bitselect);
  f.get(0).i32x4([signBit]).simd(simd.and).simd(simd.or);
  return f;
}

function makePow(): FunctionBuilder {
  const f = new FunctionBuilder([V128, V128], [V128]);
  const v = (): Local => f.local(V128);
  const [a, e, m, l, bh, n, r, y, odd, integer, bl] = [v(), v(), v(), v(), v(), v(), v(), v(), v(), v(), v()];
  f.get(0).simd(simd.f32abs).set(a);
  splitExponent(f, a, e, m);
  logOfReduced(f, m, null);
  f.f32x4(power.log2e).simd(simd.f32mul).set(l);
  f.get(1).i32x4([power.highBits | 0]).simd(simd.and).set(bh);
  f.get(1).get(bh).simd(simd.f32sub).set(bl);
  f.get(e).get(l).simd(simd.f32add).get(1).simd(simd.f32mul).set(n);
  f.f32x4(250).f32x4(-250).get(n).simd(simd.f32pmax).simd(simd.f32pmin).simd(simd.f32nearest).set(n);
  f.get(bh).get(e).simd(simd.f32mul).get(n).simd(simd.f32sub).get(bl).get(e).simd(simd.f32mul).simd(simd.f32add);
  f.get(1).get(l).simd(simd.f32mul).simd(simd.f32add);
  // Far outside the range the remainder says nothing: keep it small.
  f.f32x4(power.ln2).simd(simd.f32mul).set(r);
  f.f32x4(1).f32x4(-1).get(r).simd(simd.f32pmax).simd(simd.f32pmin).set(r);
  f.get(n).simd(simd.i32truncSatF32).set(n);
  expOfReduced(f, r);
  scaleByPower(f, n);
  f.set(y);
  // |a| of 0 or infinity, and an infinite exponent, by the sign of b and the side of 1.
  const choose = (value: () => void, condition: () => void): void => { value(); f.get(y); condition(); f.simd(simd.bitselect).set(y); };
  const positive = (): void => { f.get(1).f32x4(0).simd(simd.f32gt); };
  f.get(0).simd(simd.f32abs).set(a);
  const side = (zeroWhenPositive: boolean): void => {
    f.f32x4(zeroWhenPositive ? 0 : Infinity).f32x4(zeroWhenPositive ? Infinity : 0);
    positive();
    f.simd(simd.bitselect);
  };
  choose(() => side(false), () => f.get(1).simd(simd.f32abs).f32x4(Infinity).simd(simd.f32eq).get(a).f32x4(1).simd(simd.f32gt).simd(simd.and));
  choose(() => side(true), () => f.get(1).simd(simd.f32abs).f32x4(Infinity).simd(simd.f32eq).get(a).f32x4(1).simd(simd.f32lt).simd(simd.and));
  choose(() => side(true), () => f.get(a).f32x4(0).simd(simd.f32eq));
  choose(() => side(false), () => f.get(a).f32x4(Infinity).simd(simd.f32eq));
  // Math.pow says that 1 to an infinite power is not a number.
  choose(() => f.f32x4(NaN), () => f.get(a).f32x4(1).simd(simd.f32eq).get(1).simd(simd.f32abs).f32x4(Infinity).simd(simd.f32eq).simd(simd.and));
  // Negative bases: whole exponents only.
  f.get(1).simd(simd.f32nearest).get(1).simd(simd.f32eq).set(integer);
  f.get(1).f32x4(0.5).simd(simd.f32mul).simd(simd.f32nearest).f32x4(2).simd(simd.f32mul).get(1).simd(simd.f32ne).get(integer).simd(simd.and).set(odd);
  f.get(0).get(odd).simd(simd.and).i32x4([signBit]).simd(simd.and).get(y).simd(simd.or).set(y);
  choose(() => f.f32x4(NaN), () => f.get(0).f32x4(0).simd(simd.f32lt).get(0).f32x4(-Infinity).simd(simd.f32ne).simd(simd.and).get(1).simd(simd.f32abs).f32x4(Infinity).simd(simd.f32ne).simd(simd.and).get(integer).simd(simd.andnot));
  // NaN in either operand, then anything to the power 0.
  choose(() => f.f32x4(NaN), () => f.get(0).get(0).simd(simd.f32ne).get(1).get(1).simd(simd.f32ne).simd(simd.or));
  choose(() => f.f32x4(1), () => f.get(1).f32x4(0).simd(simd.f32eq));
  f.get(y);
  return f;
}

/** (counter 0, 1, 2, key 0, key 1) -> four words of four independent generators. */
function makePhilox(): FunctionBuilder {
  const f = new FunctionBuilder([V128, V128, V128, V128, V128], [V128, V128, V128, V128]);
  const v = (): Local => f.local(V128);
  const [c0, c1, c2, k0, k1] = [0, 1, 2, 3, 4];
  const [c3, low0, high0, low1, high1] = [v(), v(), v(), v(), v()];
  const product = (c: Local, multiplier: number, low: Local, high: Local): void => {
    const [even, odd] = [f.local(V128), f.local(V128)];
    f.get(c).i32x4([multiplier | 0]).simd(simd.i64extmulLowU).set(even);
    f.get(c).i32x4([multiplier | 0]).simd(simd.i64extmulHighU).set(odd);
    f.get(even).get(odd).shuffle([0, 2, 4, 6]).set(low);
    f.get(even).get(odd).shuffle([1, 3, 5, 7]).set(high);
  };
  for (let round = 0; round < philox.rounds; round++) {
    if (round > 0) {
      f.get(k0).i32x4([philox.weyl0 | 0]).simd(simd.i32add).set(k0);
      f.get(k1).i32x4([philox.weyl1 | 0]).simd(simd.i32add).set(k1);
    }
    product(c0, philox.multiplier0, low0, high0);
    product(c2, philox.multiplier1, low1, high1);
    f.get(high1).get(c1).simd(simd.xor).get(k0).simd(simd.xor).set(c0);
    f.get(low1).set(c1);
    f.get(high0).get(c3).simd(simd.xor).get(k1).simd(simd.xor).set(c2);
    f.get(low0).set(c3);
  }
  f.get(c0).get(c1).get(c2).get(c3);
  return f;
}

function makeFloorDivision(): FunctionBuilder {
  const f = new FunctionBuilder([I32, I32], [I32]);
  f.get(1).op(op.i32eqz).if(() => f.i32(0).op(op.return));
  // -2^31 / -1 would trap; its negation wraps.
  f.get(1).i32(-1).op(op.i32eq).if(() => f.i32(0).get(0).op(op.i32sub).op(op.return));
  const q = f.local(I32);
  f.get(0).get(1).op(op.i32divS).set(q);
  f.get(q).get(0).get(1).op(op.i32remS).i32(0).op(op.i32ne).get(0).get(1).op(op.i32xor).i32(0).op(op.i32ltS).op(op.i32and).op(op.i32sub);
  return f;
}

/** The functions a module uses so far. */
export class MathFunctions {
  private readonly made = new Map<string, number>();

  constructor(private readonly module: Module, private readonly relaxed: boolean) {}

  private once(name: string, make: () => FunctionBuilder): number {
    const known = this.made.get(name);
    if (known !== undefined) return known;
    const index = this.module.add(make());
    this.made.set(name, index);
    return index;
  }

  /** Index of the function on four lanes. */
  elementary(name: Elementary): number {
    switch (name) {
      case 'exp': { const general = this.once('exp of any size', makeGeneralExp); return this.once(name, () => emitExp(new FunctionBuilder([V128], [V128]).get(0), this.relaxed, general)); }
      case 'log': return this.once(name, makeLog);
      case 'log1p': return this.once(name, makeLog1p);
      case 'sin': return this.once(name, () => makeCircular(0));
      case 'cos': return this.once(name, () => makeCircular(1));
      case 'tanh': { const exp = this.elementary('exp'); return this.once(name, () => makeTanh(exp)); }
      case 'erf': { const exp = this.elementary('exp'); return this.once(name, () => makeErf(exp)); }
      case 'pow': return this.once(name, makePow);
      case 'atan2': return this.once(name, makeAtan2);
    }
  }

  /** [x] -> exp(x) in place, for loops that do little else. */
  exp(f: FunctionBuilder): void {
    emitExp(f, this.relaxed, this.once('exp of any size', makeGeneralExp));
  }

  /** (a, b) -> floor(a / b) on i32; 0 where b is 0. */
  floorDivision(): number {
    return this.once('idiv', makeFloorDivision);
  }

  /** Halves in the low bits of i32 lanes to f32. */
  widen(): number {
    return this.once('widen', makeWiden);
  }

  /** f32 to halves, sign-extended in i32 lanes. */
  narrow(): number {
    return this.once('narrow', makeNarrow);
  }

  philox(): number {
    return this.once('philox', makePhilox);
  }
}
