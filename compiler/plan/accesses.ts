/**
 * Which part of a tensor a kernel touches while its loops run over some of their values: how many elements, and how many
 * bytes of memory in whole lines. Reads that differ only in constants (the taps of a blur, the phases of a stride) are one access.
 * Indices that come from data or from divisions are bounded by how many values they can take.
 */
import { innerScalarsOf, scalarsOf } from '../fuse/draft.js';
import type { Kernel } from '../fuse/kernel.js';
import type { Program } from '../tensor/program.js';
import { bytesOf, sizeOf } from '../tensor/program.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { affineOf, indexVariables, visitReads } from '../tensor/scalar.js';

/** What memory hands over at a time: half a line of most processors, a sector of most GPUs. */
export const lineBytes = 32;

/** How many consecutive values each index variable takes. */
export type Ranges = readonly number[];

/** Where an access stands along one dimension of its tensor. */
interface Place {
  readonly axes: readonly number[];
  /** Of each axis; null where the index is no sum of multiples. */
  readonly coefficients: readonly number[] | null;
  /** Constants of the reads that were joined: the first, how many, and the last less the first. */
  readonly first: number;
  readonly constants: number;
  readonly spread: number;
}

export interface Access {
  readonly tensor: TensorId;
  readonly elementBytes: number;
  readonly shape: readonly number[];
  readonly places: readonly Place[];
  /** All variables of all places. */
  readonly axes: readonly number[];
  /** Reads that were joined. */
  readonly reads: number;
}

type Read = Extract<Scalar, { kind: 'read' }>;

/** What a kernel reads in its loops, and once for each point when they are done. */
export interface Reads {
  readonly inner: readonly Access[];
  readonly late: readonly Access[];
}

export function readAccesses(program: Program, kernel: Kernel): Reads {
  const seen = new Set<Scalar>();
  return { inner: accessesIn(program, innerScalarsOf(kernel), seen), late: accessesIn(program, scalarsOf(kernel), seen) };
}

function accessesIn(program: Program, roots: readonly Scalar[], seen: Set<Scalar>): readonly Access[] {
  const groups = new Map<string, { read: Read; forms: readonly (ReturnType<typeof affineOf>)[]; constants: Set<number>[]; reads: number }>();
  const free: Access[] = [];
  for (const root of roots) {
    visitReads(root, (s) => {
      const forms = s.at.map(affineOf);
      if (forms.some((f) => f === null)) { free.push(accessOf(program, s, forms, forms.map(() => new Set([0])), 1)); return; }
      const key = `${s.tensor} ${forms.map((f) => [...(f?.coefficients ?? [])].sort(([x], [y]) => x - y).map((c) => c.join('*')).join('+')).join()}`;
      const known = groups.get(key);
      if (known === undefined) groups.set(key, { read: s, forms, constants: forms.map((f) => new Set([f?.constant ?? 0])), reads: 1 });
      else {
        known.reads += 1;
        forms.forEach((f, d) => known.constants[d].add(f?.constant ?? 0));
      }
    }, seen);
  }
  return [...[...groups.values()].map((g) => accessOf(program, g.read, g.forms, g.constants, g.reads)), ...free];
}

function accessOf(program: Program, read: Read, forms: readonly (ReturnType<typeof affineOf>)[], constants: readonly ReadonlySet<number>[], reads: number): Access {
  const tensor = program.tensors[read.tensor];
  const places = forms.map((form, d): Place => {
    const known = [...constants[d]];
    if (form === null) return { axes: [...indexVariables(read.at[d])], coefficients: null, first: 0, constants: 1, spread: 0 };
    return { axes: [...form.coefficients.keys()], coefficients: [...form.coefficients.values()].map(Math.abs), first: Math.min(...known), constants: known.length, spread: Math.max(...known) - Math.min(...known) };
  });
  return { tensor: read.tensor, elementBytes: bytesOf(tensor.element), shape: tensor.shape, places, axes: [...new Set(places.flatMap((p) => p.axes))], reads };
}

/** What a kernel writes: every point an element. */
export function writeAccesses(program: Program, kernel: Kernel): readonly Access[] {
  const axes = kernel.extents.map((_, a) => a);
  const places = axes.map((a): Place => ({ axes: [a], coefficients: [1], first: 0, constants: 1, spread: 0 }));
  return kernel.stores.map(({ tensor }) => ({ tensor, elementBytes: bytesOf(program.tensors[tensor].element), shape: kernel.extents, places, axes, reads: 1 }));
}

const along = (axes: readonly number[], ranges: Ranges): number => axes.reduce((n, a) => n * ranges[a], 1);

/** Distinct indices at a place, and the room from the first to the last. */
function extentOf(place: Place, size: number, ranges: Ranges): { readonly count: number; readonly span: number } {
  const points = along(place.axes, ranges) * place.constants;
  if (place.coefficients === null) { const count = Math.min(size, points); return { count, span: count }; }
  const span = Math.min(size, place.coefficients.reduce((n, c, i) => n + c * (ranges[place.axes[i]] - 1), 1) + place.spread);
  return { count: Math.min(span, points), span };
}

/** Distinct elements touched. */
export function elementsOf(access: Access, ranges: Ranges): number {
  let count = 1;
  access.places.forEach((p, d) => { count *= extentOf(p, access.shape[d], ranges).count; });
  return Math.min(count, access.reads * along(access.axes, ranges));
}

/** Bytes of the lines touched: neighbours along the last dimensions share them. */
export function lineBytesOf(access: Access, ranges: Ranges): number {
  const { shape, places, elementBytes } = access;
  /** Bytes of one run of neighbours, whether it goes on in the next dimension, and how many there are. */
  let run = elementBytes;
  let whole = true;
  let runs = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    const { count, span } = extentOf(places[d], shape[d], ranges);
    // What lies between strides that are shorter than a line comes along.
    if (whole && (span === count || (run * span) / count <= lineBytes)) {
      run *= span;
      whole = span === shape[d];
    } else {
      runs *= count;
      whole = false;
    }
  }
  const bytes = runs * Math.ceil(run / lineBytes) * lineBytes;
  return Math.min(bytes, access.reads * along(access.axes, ranges) * lineBytes, sizeOf(shape) * elementBytes);
}

/** The same for accesses that touch the same elements at any time: by the same variables, or by any that take all there is along a dimension. */
export function placeOf(a: Access, ranges: Ranges): string {
  const along = (p: Place, d: number): string => (extentOf(p, a.shape[d], ranges).count === a.shape[d] ? 'all' : `${p.axes.map((v, i) => `${p.coefficients?.[i] ?? '?'}*${v}`).join('+')} ${p.first} ${p.constants} ${p.spread}`);
  return `${a.tensor} ${a.places.map(along).join(';')}`;
}

/** The same for accesses of the same elements of a tensor, over all their points. */
export function patternOf(a: Access, extents: Ranges): string {
  const indices = (p: Place): string => p.axes.map((v, i) => `${p.coefficients?.[i] ?? '?'}x${extents[v]}`).join('+');
  return `${a.tensor} ${a.places.map((p) => `${indices(p)} ${p.first} ${p.constants} ${p.spread}`).join(';')}`;
}
