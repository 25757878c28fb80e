/**
 * Coefficients and range reductions of the elementary functions, shared by both emitters so that adapters and the
 * CPU target agree. All are made for f32 without fused multiply-add; coefficients run from the highest degree to
 * the constant (Horner). Sources: Cephes (Moshier) for exp, log, tanh, sin, cos, atan; N. Juffa's fit for erf.
 *
 * Every function must give NaN for NaN, the limits at infinities, and never trap. Integers below are bit patterns.
 */

/** Horner coefficients, highest degree first. */
export type Polynomial = readonly number[];

/**
 * exp(x): x' = clamp(x, low, high); n = round(x' * log2e) (half to even); r = (x' - n*ln2High) - n*ln2Low;
 * y = P(r) * r * r + r + 1; result = y * 2^(n >> 1) * 2^(n - (n >> 1)), each power made as bits (k + 127) << 23.
 * At `high` the product overflows to infinity and at `low` it is 0, as it should. NaN: select it back at the end where
 * clamp swallows it.
 */
export const exponential = {
  low: -104,
  high: 89,
  log2e: 1.44269504088896341,
  ln2High: 0.693359375,
  ln2Low: -2.12194440e-4,
  polynomial: [1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1] as Polynomial,
} as const;

/**
 * log(x) for finite x > 0: if x < 2^-126 then x *= 2^23 and e starts at -23 (where the target keeps subnormals).
 * bits = bitcast(x); t = bits - sqrtHalfBits; e += t >> 23 (arithmetic); m = bitcast((t & 0x007fffff) + sqrtHalfBits), in
 * [sqrt(1/2), sqrt(2)); f = m - 1; z = f * f;
 * result = (f + ((P(f) * f * z + e*ln2Low) - 0.5*z)) + e*ln2High.
 * x = 0 gives -infinity, x < 0 NaN, infinity infinity.
 *
 * log1p(x): where m1 <= x <= m2 (sqrt(1/2)-1 and sqrt(2)-1) take f = x, e = 0 in the formula; else log(1 + x).
 */
export const logarithm = {
  /** bitcast<i32>(0.70710678f). */
  sqrtHalfBits: 0x3f3504f3,
  ln2High: 0.693359375,
  ln2Low: -2.12194440e-4,
  /** Range of x in which log1p uses f = x. */
  directLow: -0.29289321,
  directHigh: 0.41421356,
  polynomial: [
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
  ] as Polynomial,
} as const;

/**
 * tanh(x): a = |x|. a < small: x + x * z * P(z), z = x * x. Else copysign(1 - 2 / (exp(2 * min(a, large)) + 1), x).
 */
export const hyperbolicTangent = {
  small: 0.625,
  large: 10,
  polynomial: [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1] as Polynomial,
} as const;

/**
 * erf(x): t = |x|. t > split: copysign(1 - exp(P(u)*u - u), x) with u = min(t, large). Else x + x * Q(x * x).
 */
export const errorFunction = {
  split: 0.927734375,
  large: 4,
  tail: [-1.72853470e-5, 3.83197126e-4, -3.88396438e-3, 2.42546219e-2, -1.06777877e-1, -6.34846687e-1, -1.28717512e-1] as Polynomial,
  near: [-5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1] as Polynomial,
} as const;

/**
 * sin, cos: j = round(x * twoOverPi); r = ((x - j*piHalf1) - j*piHalf2) - j*piHalf3; q = int(j) & 3; z = r * r;
 * s = S(z) * z * r + r; c = C(z) * z * z - 0.5 * z + 1.
 * sin: q 0: s, 1: c, 2: -s, 3: -c. cos: q 0: c, 1: -s, 2: -c, 3: s. Full accuracy to |x| = 12,000; infinity gives NaN.
 */
export const circular = {
  twoOverPi: 0.63661977236758134,
  piHalf1: 1.5703125,
  piHalf2: 4.837512969970703125e-4,
  piHalf3: 7.54978995489188216e-8,
  sine: [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1] as Polynomial,
  cosine: [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2] as Polynomial,
} as const;

/**
 * atan2(y, x): a = |y|, b = |x|, hi = max(a, b), lo = min(a, b); t = lo / hi (0 where hi = 0, 1 where both are infinite);
 * where t > tanPi8: t = (t - 1) / (t + 1), base = pi/4, else base = 0; z = t * t; r = base + (A(z) * z * t + t);
 * a > b: r = pi/2 - r; x < 0 (or -0, where the target can tell): r = pi - r; result copysign(r, y).
 */
export const arcTangent = {
  tanPi8: 0.41421356237,
  piQuarter: 0.78539816339744831,
  piHalf: 1.57079632679489662,
  pi: 3.14159265358979324,
  polynomial: [8.05374449538e-2, -1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1] as Polynomial,
} as const;

/**
 * pow(a, b): for |a| finite and not 0, e and f as in log(|a|); L = log2(m) = log(m) * log2e, with log(m) by the formula
 * with e = 0; bh = b with its low 12 bits cleared, bl = b - bh; n = round(b * (e + L)), clamped to +-250;
 * r = ((bh*e - n) + bl*e) + b*L, r * ln2 clamped to +-1; result = exp2(r) * 2^n, exp2(r) = exp polynomial at r * ln2, in halves as in exp.
 * a < 0: NaN unless b is an integer; the sign is that of a when b is odd. b = 0 gives 1. a = 0: 0 for b > 0,
 * infinity for b < 0. Constant exponents that are small integers or one half should be products and sqrt.
 */
export const power = {
  log2e: 1.44269504088896341,
  ln2: 0.693147180559945309,
  highBits: 0xfffff000,
} as const;

/** Philox4x32-10 (Salmon et al., 2011): multipliers of counter words 0 and 2, and the key's increments a round. */
export const philox = {
  multiplier0: 0xd2511f53,
  multiplier1: 0xcd9e8d57,
  weyl0: 0x9e3779b9,
  weyl1: 0xbb67ae85,
  rounds: 10,
} as const;
