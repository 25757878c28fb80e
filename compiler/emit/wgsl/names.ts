/** WGSL identifiers and number literals. */

/** A name as a WGSL identifier part: letters, digits and single underscores. Callers add a suffix, so it is never a reserved word. */
export function identifier(name: string): string {
  const cleaned = name.replace(/[^A-Za-z0-9]+/g, '_').replace(/^_+|_+$/g, '').slice(0, 40).replace(/_+$/, '');
  return cleaned === '' ? 'value' : /^[0-9]/.test(cleaned) ? `t${cleaned}` : cleaned;
}

/** The shortest literal that is this f32; null for infinities and NaN, which WGSL cannot write. */
export function floatLiteral(value: number): string | null {
  const exact = Math.fround(value);
  if (!Number.isFinite(exact)) return null;
  if (Object.is(exact, -0)) return '-0.0';
  let text = String(exact);
  for (let digits = 1; digits <= 9; digits++) {
    const shorter = String(Number(exact.toPrecision(digits)));
    if (Math.fround(Number(shorter)) === exact && Math.abs(Number(shorter)) <= Math.abs(exact) * (Math.abs(exact) > 3.4e38 ? 1 : 2)) { text = shorter; break; }
  }
  return /[.e]/.test(text) ? text : `${text}.0`;
}

/** An i32 literal, wrapped like the integer arithmetic of the device. */
export function intLiteral(value: number): string {
  const wrapped = value | 0;
  return wrapped === -2147483648 ? 'i32(-2147483648)' : String(wrapped);
}

/** What belongs to product number `m` of a kernel. */
export const ofProduct = (name: string, m: number): string => (m === 0 ? name : `${name}_of_${m}`);
