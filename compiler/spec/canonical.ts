/** One spelling of a JSON value: keys sorted by code unit, two spaces, a newline at the end. Equal values, equal bytes. */

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** The canonical text of a value. */
export function canonicalJson(value: JsonValue): string {
  return `${JSON.stringify(sorted(value), null, 2)}\n`;
}

function sorted(value: JsonValue): JsonValue {
  if (isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  // A null prototype: a key such as `__proto__` is a key like any other. Keys that read as numbers come first in
  // JavaScript objects whatever the order of insertion; that order is as fixed as the sorted one.
  const out: { [key: string]: JsonValue } = Object.create(null);
  for (const key of Object.keys(value).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))) out[key] = sorted(value[key]);
  return out;
}

function isArray(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}
