/**
 * Helper functions of generated WGSL: our own elementary functions (drivers differ by up to several per cent, see
 * `../polynomials.ts`), Philox draws, and flooring integer division. A module contains only those it calls.
 */
import { bug } from '../../../grammar/diagnostics/report.js';
import type { Polynomial } from '../polynomials.js';
import { arcTangent, circular, errorFunction, exponential, hyperbolicTangent, logarithm, philox, power } from '../polynomials.js';
import { floatLiteral } from './names.js';

export type HelperName =
  | 'infinity' | 'not_a_number' | 'is_nan' | 'exp_f32' | 'scale_by_power' | 'log_f32' | 'log_parts' | 'log1p_f32' | 'tanh_f32' | 'erf_f32'
  | 'reduce_angle' | 'sin_f32' | 'cos_f32' | 'atan2_f32' | 'pow_f32' | 'floor_div' | 'floor_mod' | 'multiply_wide' | 'philox' | 'order_f32';

interface Helper {
  readonly needs: readonly HelperName[];
  readonly text: string;
}

function lit(value: number): string {
  const text = floatLiteral(value) ?? bug('a coefficient is not finite');
  return value < 0 ? `(${text})` : text;
}

const hex = (value: number): string => `0x${(value >>> 0).toString(16).padStart(8, '0')}u`;

/** A polynomial in `x`, highest degree first, by Horner's rule. */
function horner(p: Polynomial, x: string): string {
  return p.slice(1).reduce((sum, c, i) => `${i === 0 ? sum : `(${sum})`} * ${x} + ${lit(c)}`, lit(p[0]));
}

/** log(m) for f = m - 1, z = f * f, without the exponent's part: f + (P(f) f z - z / 2). */
const logPolynomial = horner(logarithm.polynomial, 'f');

const helpers: { readonly [K in HelperName]: Helper } = {
  infinity: {
    needs: [],
    text: `var<private> infinity_bits: u32 = 0x7f800000u;
fn infinity() -> f32 { return bitcast<f32>(infinity_bits); }`,
  },
  not_a_number: {
    needs: [],
    text: `var<private> nan_bits: u32 = 0x7fc00000u;
fn not_a_number() -> f32 { return bitcast<f32>(nan_bits); }`,
  },
  is_nan: { needs: [], text: 'fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }' },
  // Integers in the order of the floats: -0 as 0, NaN last.
  order_f32: {
    needs: ['is_nan'],
    text: `fn order_f32(x: f32) -> i32 {
  let bits = bitcast<i32>(x);
  let order = select(bits, bits ^ 0x7fffffff, bits < 0);
  return select(select(order, 0, (bits & 0x7fffffff) == 0), 0x7fffffff, is_nan(x));
}`,
  },
  scale_by_power: {
    needs: [],
    text: `fn scale_by_power(x: f32, n: i32) -> f32 {
  let half = n >> 1u;
  return x * bitcast<f32>((half + 127) << 23u) * bitcast<f32>((n - half + 127) << 23u);
}`,
  },
  exp_f32: {
    needs: ['is_nan', 'scale_by_power'],
    text: `fn exp_f32(x: f32) -> f32 {
  let y = clamp(x, ${lit(exponential.low)}, ${lit(exponential.high)});
  let n = round(y * ${lit(exponential.log2e)});
  let r = (y - n * ${lit(exponential.ln2High)}) - n * ${lit(exponential.ln2Low)};
  let p = (${horner(exponential.polynomial, 'r')}) * r * r + r + 1.0;
  return select(scale_by_power(p, i32(n)), x, is_nan(x));
}`,
  },
  log_parts: {
    needs: [],
    text: `/* log of the mantissa of x > 0, in [sqrt(1/2), sqrt(2)), and the exponent. */
fn log_parts(x: f32) -> vec2f {
  let small = x < 1.17549435e-38;
  let t = bitcast<i32>(select(x, x * 8388608.0, small)) - ${String(logarithm.sqrtHalfBits)};
  let f = bitcast<f32>((t & 0x007fffff) + ${String(logarithm.sqrtHalfBits)}) - 1.0;
  let z = f * f;
  return vec2f(f + ((${logPolynomial}) * f * z - 0.5 * z), f32((t >> 23u) - select(0, 23, small)));
}`,
  },
  log_f32: {
    needs: ['is_nan', 'infinity', 'not_a_number'],
    text: `fn log_f32(x: f32) -> f32 {
  if (is_nan(x) || x == infinity()) { return x; }
  if (x == 0.0) { return -infinity(); }
  if (x < 0.0) { return not_a_number(); }
  let small = x < 1.17549435e-38;
  let t = bitcast<i32>(select(x, x * 8388608.0, small)) - ${String(logarithm.sqrtHalfBits)};
  let e = f32((t >> 23u) - select(0, 23, small));
  let f = bitcast<f32>((t & 0x007fffff) + ${String(logarithm.sqrtHalfBits)}) - 1.0;
  let z = f * f;
  return (f + (((${logPolynomial}) * f * z + e * ${lit(logarithm.ln2Low)}) - 0.5 * z)) + e * ${lit(logarithm.ln2High)};
}`,
  },
  log1p_f32: {
    needs: ['log_f32'],
    text: `fn log1p_f32(x: f32) -> f32 {
  let f = x;
  let z = f * f;
  let near = f + ((${logPolynomial}) * f * z - 0.5 * z);
  if (x >= ${lit(logarithm.directLow)} && x <= ${lit(logarithm.directHigh)}) { return near; }
  return log_f32(1.0 + x);
}`,
  },
  tanh_f32: {
    needs: ['exp_f32', 'is_nan'],
    text: `fn tanh_f32(x: f32) -> f32 {
  let a = abs(x);
  let z = x * x;
  let near = x + x * z * (${horner(hyperbolicTangent.polynomial, 'z')});
  let far = 1.0 - 2.0 / (exp_f32(2.0 * min(a, ${lit(hyperbolicTangent.large)})) + 1.0);
  let y = select(select(far, -far, x < 0.0), near, a < ${lit(hyperbolicTangent.small)});
  return select(y, x, is_nan(x));
}`,
  },
  erf_f32: {
    needs: ['exp_f32', 'is_nan'],
    text: `fn erf_f32(x: f32) -> f32 {
  let t = abs(x);
  let u = min(t, ${lit(errorFunction.large)});
  let far = 1.0 - exp_f32((${horner(errorFunction.tail, 'u')}) * u - u);
  let z = x * x;
  let near = x + x * (${horner(errorFunction.near, 'z')});
  let y = select(near, select(far, -far, x < 0.0), t > ${lit(errorFunction.split)});
  return select(y, x, is_nan(x));
}`,
  },
  reduce_angle: {
    needs: [],
    text: `/* sin and cos of x within its quarter turn, and the quarter's number. */
fn reduce_angle(x: f32) -> vec3f {
  let j = round(x * ${lit(circular.twoOverPi)});
  let r = ((x - j * ${lit(circular.piHalf1)}) - j * ${lit(circular.piHalf2)}) - j * ${lit(circular.piHalf3)};
  let z = r * r;
  let s = (${horner(circular.sine, 'z')}) * z * r + r;
  let c = (${horner(circular.cosine, 'z')}) * z * z - 0.5 * z + 1.0;
  return vec3f(s, c, j - 4.0 * floor(j * 0.25));
}`,
  },
  sin_f32: {
    needs: ['reduce_angle', 'not_a_number'],
    text: `fn sin_f32(x: f32) -> f32 {
  let p = reduce_angle(x);
  let y = select(p.x, p.y, p.z == 1.0 || p.z == 3.0);
  let signed = select(y, -y, p.z >= 2.0);
  return select(signed, not_a_number(), (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u);
}`,
  },
  cos_f32: {
    needs: ['reduce_angle', 'not_a_number'],
    text: `fn cos_f32(x: f32) -> f32 {
  let p = reduce_angle(x);
  let y = select(p.y, p.x, p.z == 1.0 || p.z == 3.0);
  let signed = select(y, -y, p.z == 1.0 || p.z == 2.0);
  return select(signed, not_a_number(), (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u);
}`,
  },
  atan2_f32: {
    needs: ['is_nan', 'not_a_number', 'infinity'],
    text: `fn atan2_f32(y: f32, x: f32) -> f32 {
  if (is_nan(x) || is_nan(y)) { return not_a_number(); }
  let a = abs(y);
  let b = abs(x);
  let larger = max(a, b);
  let smaller = min(a, b);
  var t = smaller / select(larger, 1.0, larger == 0.0);
  if (smaller == infinity()) { t = 1.0; }
  let wide = t > ${lit(arcTangent.tanPi8)};
  t = select(t, (t - 1.0) / (t + 1.0), wide);
  let z = t * t;
  var r = select(0.0, ${lit(arcTangent.piQuarter)}, wide) + ((${horner(arcTangent.polynomial, 'z')}) * z * t + t);
  r = select(r, ${lit(arcTangent.piHalf)} - r, a > b);
  r = select(r, ${lit(arcTangent.pi)} - r, (bitcast<u32>(x) >> 31u) == 1u);
  return select(r, -r, (bitcast<u32>(y) >> 31u) == 1u);
}`,
  },
  pow_f32: {
    needs: ['log_parts', 'scale_by_power', 'is_nan', 'infinity', 'not_a_number'],
    text: `fn pow_f32(a: f32, b: f32) -> f32 {
  if (b == 0.0) { return 1.0; }
  if (is_nan(a) || is_nan(b)) { return not_a_number(); }
  let x = abs(a);
  let whole = floor(b) == b;
  let odd = whole && abs(b) < 16777216.0 && (i32(clamp(b, -16777216.0, 16777216.0)) & 1) == 1;
  let negative = (bitcast<u32>(a) >> 31u) == 1u;
  if (abs(b) == infinity()) {
    if (x == 1.0) { return not_a_number(); }
    return select(0.0, infinity(), (x > 1.0) == (b > 0.0));
  }
  if (x == 0.0 || x == infinity()) {
    let y = select(0.0, infinity(), (x == 0.0) == (b < 0.0));
    return select(y, -y, negative && odd);
  }
  if (negative && !whole) { return not_a_number(); }
  let parts = log_parts(x);
  let l = parts.x * ${lit(power.log2e)};
  let e = parts.y;
  let high = bitcast<f32>(bitcast<u32>(b) & ${hex(power.highBits)});
  let low = b - high;
  let n = clamp(round(b * (e + l)), -300.0, 300.0);
  let r = clamp((((high * e - n) + low * e) + b * l), -60.0, 60.0) * ${lit(power.ln2)};
  let k = round(r * ${lit(exponential.log2e)});
  let q = (r - k * ${lit(exponential.ln2High)}) - k * ${lit(exponential.ln2Low)};
  let p = (${horner(exponential.polynomial, 'q')}) * q * q + q + 1.0;
  let y = scale_by_power(p, clamp(i32(n + k), -250, 250));
  return select(y, -y, negative && odd);
}`,
  },
  floor_div: {
    needs: [],
    text: `fn floor_div(a: i32, b: i32) -> i32 {
  let q = a / b;
  return q - select(0, 1, q * b != a && ((a < 0) != (b < 0)));
}`,
  },
  floor_mod: { needs: ['floor_div'], text: 'fn floor_mod(a: i32, b: i32) -> i32 { return a - b * floor_div(a, b); }' },
  multiply_wide: {
    needs: [],
    text: `/* The high and low words of a * b. */
fn multiply_wide(a: u32, b: u32) -> vec2u {
  let a0 = a & 0xffffu;
  let a1 = a >> 16u;
  let b0 = b & 0xffffu;
  let b1 = b >> 16u;
  let middle = a1 * b0 + ((a0 * b0) >> 16u);
  let cross = a0 * b1 + (middle & 0xffffu);
  return vec2u(a1 * b1 + (middle >> 16u) + (cross >> 16u), a * b);
}`,
  },
  philox: {
    needs: ['multiply_wide'],
    text: `/* Philox4x32-10: four random words for key (seed, site) and counter (step, example, element, 0). */
fn philox(seed: i32, site: i32, step: i32, example: i32, element: i32) -> vec4u {
  var counter = vec4u(bitcast<u32>(step), bitcast<u32>(example), bitcast<u32>(element), 0u);
  var key = vec2u(bitcast<u32>(seed), bitcast<u32>(site));
  for (var i = 0; i < ${philox.rounds}; i++) {
    let a = multiply_wide(${hex(philox.multiplier0)}, counter.x);
    let b = multiply_wide(${hex(philox.multiplier1)}, counter.z);
    counter = vec4u(b.x ^ counter.y ^ key.x, b.y, a.x ^ counter.w ^ key.y, a.y);
    key += vec2u(${hex(philox.weyl0)}, ${hex(philox.weyl1)});
  }
  return counter;
}`,
  },
};

/** The texts of the named helpers and of what they need, in a fixed order. */
export function helperTexts(used: ReadonlySet<HelperName>): string[] {
  const all = new Set<HelperName>();
  const include = (name: HelperName): void => {
    if (all.has(name)) return;
    helpers[name].needs.forEach(include);
    all.add(name);
  };
  [...used].sort().forEach(include);
  return [...all].map((name) => helpers[name].text);
}
