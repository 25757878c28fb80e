/** Half-precision numbers (IEEE 754 binary16): 11 significant bits, 2^-24 the smallest, 65504 the largest. */

/** The largest finite one. */
export const largestHalf = 65504;

/** The nearest half, ties to even; what is nearer to 2^16 than to the largest becomes infinite. */
export function roundToHalf(x: number): number {
  if (x === 0 || !Number.isFinite(x)) return x;
  const size = Math.abs(x);
  const exponent = Math.max(-14, Math.floor(Math.log2(size)));
  // The quotient is exact and below 2^12, whichever side of a power of two the logarithm fell on.
  const unit = 2 ** (exponent - 10);
  const units = size / unit;
  const below = Math.floor(units);
  const rest = units - below;
  const rounded = (rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below) * unit;
  return Math.sign(x) * (rounded > largestHalf ? Infinity : rounded);
}
