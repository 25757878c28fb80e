/**
 * Half-precision numbers on four lanes: WebAssembly has none, so integer arithmetic on the bits of f32 stands in. Both functions take
 * every number, infinities and NaN included; narrowing rounds to nearest, ties to even.
 */
import { FunctionBuilder, V128, simd } from './binary.js';

const mantissaShift = 13;
/** What a half's exponent and mantissa, shifted into place, are too small by. */
const rebias = 2 ** 112;
const f32Infinity = 0x7f800000;
const halfInfinity = 0x7c00;
/** 2^16 and 2^-14 as f32 bits: from the first on nothing is finite, below the second halves are subnormal. */
const tooLarge = (127 + 16) << 23;
const smallestNormal = (127 - 14) << 23;
/** Adding this to |x| below 2^-14 rounds it to a multiple of 2^-24, which the low bits then count. */
const subnormalBits = (127 - 15 + 23 - 10 + 1) << 23;
const subnormalMagic = 0.5;

/** Four halves in the low bits of i32 lanes to f32. */
export function makeWiden(): FunctionBuilder {
  const f = new FunctionBuilder([V128], [V128]);
  const size = f.local(V128);
  f.get(0).i32x4([0x7fff]).simd(simd.and).i32(mantissaShift).simd(simd.i32shl).tee(size);
  f.f32x4(rebias).simd(simd.f32mul);
  f.get(size).i32x4([(halfInfinity << mantissaShift) - 1]).simd(simd.i32gtS).i32x4([f32Infinity]).simd(simd.and).simd(simd.or);
  f.get(0).i32x4([0x8000]).simd(simd.and).i32(16).simd(simd.i32shl).simd(simd.or);
  return f;
}

/** Four f32 to the nearest halves, sign-extended in i32 lanes. */
export function makeNarrow(): FunctionBuilder {
  const f = new FunctionBuilder([V128], [V128]);
  const [size, result] = [f.local(V128), f.local(V128)];
  f.get(0).i32x4([0x7fffffff]).simd(simd.and).set(size);
  // Normal: the exponent is rebased, and half a unit less a bit, plus the bit that decides ties, carries into what is kept.
  const bias = 0xfff - ((127 - 15) << 23);
  f.get(size).i32x4([bias | 0]).simd(simd.i32add).get(size).i32(mantissaShift).simd(simd.i32shrU).i32x4([1]).simd(simd.and).simd(simd.i32add).i32(mantissaShift).simd(simd.i32shrU).set(result);
  const choose = (value: () => void, condition: () => void): void => { value(); f.get(result); condition(); f.simd(simd.bitselect).set(result); };
  choose(() => f.get(size).f32x4(subnormalMagic).simd(simd.f32add).i32x4([subnormalBits]).simd(simd.i32sub), () => f.get(size).i32x4([smallestNormal]).simd(simd.i32ltS));
  choose(() => f.i32x4([halfInfinity]), () => f.get(size).i32x4([tooLarge - 1]).simd(simd.i32gtS));
  choose(() => f.i32x4([halfInfinity | 0x200]), () => f.get(size).i32x4([f32Infinity]).simd(simd.i32gtS));
  f.get(result).get(0).i32(16).simd(simd.i32shrS).i32x4([0xffff8000 | 0]).simd(simd.and).simd(simd.or);
  return f;
}
