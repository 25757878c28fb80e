/** Sums that a lane keeps: of `each` values given by all lanes with `own` values of its own, as vectors of four where that divides them. */
import type { Block } from './writer.js';

export interface LaneSums {
  declare(block: Block): void;
  /** Names of the own values as the sums take them. */
  own(block: Block, values: readonly string[]): readonly string[];
  /** Statements that add the products of one given value with all own values. */
  add(each: number, given: string, own: readonly string[]): readonly string[];
  /** One sum. */
  part(each: number, own: number): string;
}

export function laneSums(prefix: string, each: number, own: number): LaneSums {
  const width = own % 4 === 0 ? 4 : 1;
  const vectors = Array.from({ length: own / width }, (_, q) => q);
  const name = (e: number, q: number): string => `${prefix}_${e}_${q}`;
  return {
    declare(block) {
      for (let e = 0; e < each; e++) for (const q of vectors) block.items.push(`var ${name(e, q)} = ${width === 4 ? 'vec4f()' : '0.0'};`);
    },
    own(block, values) {
      if (width === 1) return values;
      return vectors.map((q) => {
        block.items.push(`let ${prefix}_own_${q} = vec4f(${values.slice(4 * q, 4 * q + 4).join(', ')});`);
        return `${prefix}_own_${q}`;
      });
    },
    add(e, given, values) {
      if (vectors.length === 1) return [`${name(e, 0)} += ${given} * ${values[0]};`];
      return [`let ${prefix}_given_${e} = ${given};`, ...vectors.map((q) => `${name(e, q)} += ${prefix}_given_${e} * ${values[q]};`)];
    },
    part: (e, m) => (width === 4 ? `${name(e, Math.floor(m / 4))}.${'xyzw'[m % 4]}` : name(e, m)),
  };
}
