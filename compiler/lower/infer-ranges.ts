/**
 * Finds the range of each index from its use: `x[i]` alone in a bracket position gives the size of that axis. An affine index
 * (`x[i + di]`) says nothing. All uses must agree.
 */
import type { Binder, Expression } from '../../grammar/ast.js';
import type { Context, Frame } from './context.js';
import { fail } from './context.js';
import { evaluate, needInteger } from './evaluate.js';
import { mentions, forEachChild } from './free-names.js';
import { asTensor } from './tensor-value.js';
import type { Axis } from './value.js';
import { axisOf } from './value.js';

/** The axis each binder runs over; null where use does not say. Explicit extents win. */
export function inferRanges(c: Context, f: Frame, binders: readonly Binder[], bodies: readonly Expression[]): Map<string, Axis | null> {
  const ranges = new Map<string, Axis | null>();
  for (const b of binders) {
    ranges.set(b.name.text, b.extent === null ? null : axisOf(needInteger(c, b.extent.span, evaluate(c, { ...f, indexing: true }, b.extent)), null));
  }
  const wanted = new Set(binders.filter((b) => b.extent === null).map((b) => b.name.text));
  for (const body of bodies) walk(c, f, body, wanted, ranges, []);
  return ranges;
}

function walk(c: Context, f: Frame, e: Expression, wanted: ReadonlySet<string>, ranges: Map<string, Axis | null>, inner: readonly string[]): void {
  if (wanted.size === 0) return;
  if (e.kind === 'index') {
    const relevant = e.indices.some((x) => x.kind === 'name' && wanted.has(x.name) && !inner.includes(x.name));
    // Anything unbound inside the object (an index of this or an inner bracket) keeps it from being computed early.
    if (relevant && !inner.some((n) => mentions(e.object, n)) && ![...wanted].some((n) => mentions(e.object, n))) {
      const value = f.early.get(e.object) ?? evaluate(c, f, e.object);
      if (e.object.kind !== 'name') f.early.set(e.object, value);
      const tensor = asTensor(value);
      if (tensor !== null) {
        e.indices.forEach((x, k) => {
          if (x.kind === 'name' && wanted.has(x.name) && !inner.includes(x.name) && k < tensor.axes.length) note(c, x.name, tensor.axes[k], x, ranges, e.otherwise !== null);
        });
      }
    }
  }
  forEachChild(e, (child, binders) => {
    const bound = binders.map((b) => b.name.text).filter((n) => mentions(child, n));
    const shadowed = bound.filter((n) => wanted.has(n));
    walk(c, f, child, shadowed.length === 0 ? wanted : new Set([...wanted].filter((n) => !shadowed.includes(n))), ranges, [...inner, ...bound]);
  });
}

function note(c: Context, name: string, axis: Axis, at: Expression, ranges: Map<string, Axis | null>, guarded: boolean): void {
  const known = ranges.get(name) ?? null;
  if (known === null) ranges.set(name, axis);
  else if (known.size !== axis.size && !guarded) fail(c, 'SSL2006', at.span, { index: name, first: known.size, second: axis.size });
}
