/**
 * Which ranges of memory a kernel binds. Ranges of one arena that overlap become one binding (a dispatch may not bind the
 * same bytes twice for writing), and where a kernel touches more ranges than the adapter can bind, near ranges are joined.
 */
import { bug, diagnostic, DiagnosticError } from '../../../grammar/diagnostics/report.js';
import { tensorsTouched } from '../../fuse/draft.js';
import type { Kernel } from '../../fuse/kernel.js';
import type { Slot } from '../../plan/plan.js';
import type { Origin, Program } from '../../tensor/program.js';
import { bytesOf, tensorOf } from '../../tensor/program.js';
import type { ElementType, TensorId } from '../../tensor/scalar.js';
import { identifier } from './names.js';

/** What the array of a binding is made of. */
type WordType = 'f32' | 'f16' | 'i32' | 'u32';

/** One `var<storage>`: the bytes it covers and the type its words are declared with. */
export interface Binding {
  readonly name: string;
  readonly type: WordType;
  readonly arena: number;
  readonly offset: number;
  readonly bytes: number;
  /** Its words come in fours, for a kernel that reads them so. */
  readonly inVectors?: boolean;
}

/** How a tensor is reached: a binding and the element of it where the tensor starts. */
export interface TensorAccess {
  readonly binding: Binding;
  readonly base: number;
  readonly element: ElementType;
  readonly shape: readonly number[];
  /** Other kernels of its module store it or read it one by one, so nobody reads it in vectors. */
  readonly oneByOne?: boolean;
  /** A short name for variables holding one of its values. It ends in `_at`, as no name of an emitter's own does. */
  readonly label: string;
}

export interface KernelBindings {
  readonly bindings: readonly Binding[];
  readonly access: ReadonlyMap<TensorId, TensorAccess>;
}

interface Group {
  readonly arena: number;
  low: number;
  high: number;
  /** Its elements are f16: two threads may not write one word together, so it is never joined with ranges of other elements. */
  readonly half: boolean;
  tensors: TensorId[];
}

const alignment = 256;

interface BindingLimits {
  readonly maxBindings: number;
  readonly maxBindingBytes: number;
}

const slotIn = (placements: ReadonlyMap<TensorId, Slot>, [kernel]: readonly Kernel[]) => (id: TensorId): Slot => placements.get(id) ?? bug(`tensor ${id} of kernel ${kernel.name} has no memory`);

/** The ranges of the tensors that kernels read and write, in the order they are first mentioned; those that overlap are one. What chains keep in workgroups' memory has none. */
function rangesOf(kernels: readonly Kernel[], placements: ReadonlyMap<TensorId, Slot>): Group[] {
  const slotOf = slotIn(placements, kernels);
  return joinOverlapping([...new Set(kernels.flatMap((k) => [...tensorsTouched(k)]))].filter((id) => placements.has(id)).map((id) => {
    const slot = slotOf(id);
    const low = slot.offset - (slot.offset % alignment);
    return { arena: slot.arena, half: slot.element === 'f16', low, high: Math.max(slot.offset + Math.ceil(slot.bytes / 4) * 4, low + 4), tensors: [id] };
  }));
}

/** Whether kernels can be bound together when ranges no further apart than `span` bytes are joined. */
export function canBind(kernels: readonly Kernel[], placements: ReadonlyMap<TensorId, Slot>, limits: BindingLimits, span: number): boolean {
  let groups: Group[] | null = rangesOf(kernels, placements);
  while (groups !== null && groups.length > limits.maxBindings) groups = joinNearest(groups, Math.min(span, limits.maxBindingBytes));
  return groups !== null;
}

/** Collects the tensors the kernels of a launch read and write and groups their slots. */
export function bindTensors(kernels: readonly Kernel[], program: Program, placements: ReadonlyMap<TensorId, Slot>, limits: BindingLimits): KernelBindings {
  const [kernel] = kernels;
  const slotOf = slotIn(placements, kernels);
  let groups = rangesOf(kernels, placements);
  while (groups.length > limits.maxBindings) groups = joinNearest(groups, limits.maxBindingBytes) ?? tooMuch(kernel, program, kernel.stores[0].tensor, `${groups.length} separate ranges of memory`, `${limits.maxBindings}`);
  const taken = new Set<string>();
  const access = new Map<TensorId, TensorAccess>();
  const bindings = groups.map((group): Binding => {
    if (group.high - group.low > limits.maxBindingBytes) {
      tooMuch(kernel, program, group.tensors[0], `${group.high - group.low} bytes in one piece`, `${limits.maxBindingBytes}`);
    }
    const types = new Set(group.tensors.map((id) => wordType(slotOf(id).element)));
    const first = tensorOf(program, group.tensors[0]).origin.name;
    const name = unique(group.tensors.length === 1 || types.size === 1 && sameSlot(group.tensors.map(slotOf)) ? identifier(first) : identifier(`${first}_and_more`), taken);
    const binding: Binding = { name: `${name}_data`, type: types.size === 1 ? [...types][0] : 'u32', arena: group.arena, offset: group.low, bytes: group.high - group.low };
    for (const id of group.tensors) {
      const slot = slotOf(id);
      const element = tensorOf(program, id).element;
      access.set(id, { binding, base: (slot.offset - group.low) / bytesOf(element), element, shape: tensorOf(program, id).shape, label: labelOf(tensorOf(program, id).origin) });
    }
    return binding;
  });
  return { bindings, access };
}

/** A name for values of a tensor. */
export const labelOf = ({ name }: Origin): string => `${identifier(name.split('.').at(-1) ?? name)}_at`;

function wordType(element: ElementType): WordType {
  return element === 'u8' ? 'u32' : element === 'f32' || element === 'f16' ? element : 'i32';
}

function sameSlot(slots: readonly Slot[]): boolean {
  return slots.every((slot) => slot.offset === slots[0].offset);
}

function unique(name: string, taken: Set<string>): string {
  let candidate = name;
  for (let i = 2; taken.has(candidate); i++) candidate = `${name}_${i}`;
  taken.add(candidate);
  return candidate;
}

function joinOverlapping(groups: readonly Group[]): Group[] {
  const result: Group[] = [];
  for (const group of groups) {
    let joined = group;
    for (let i = 0; i < result.length;) {
      const other = result[i];
      if (other.arena === joined.arena && other.low < joined.high && joined.low < other.high) {
        joined = { arena: other.arena, half: other.half, low: Math.min(other.low, joined.low), high: Math.max(other.high, joined.high), tensors: [...other.tensors, ...joined.tensors] };
        result.splice(i, 1);
        i = 0;
      } else i++;
    }
    result.push(joined);
  }
  return result;
}

/** The two groups of one arena that lie nearest as one; null when no two are within `most` bytes. */
function joinNearest(groups: readonly Group[], most: number): Group[] | null {
  let best: { a: number; b: number; span: number } | null = null;
  for (let a = 0; a < groups.length; a++) {
    for (let b = a + 1; b < groups.length; b++) {
      if (groups[a].arena !== groups[b].arena || groups[a].half !== groups[b].half) continue;
      const span = Math.max(groups[a].high, groups[b].high) - Math.min(groups[a].low, groups[b].low);
      if (span <= most && (best === null || span < best.span)) best = { a, b, span };
    }
  }
  if (best === null) return null;
  const a = groups[best.a];
  const b = groups[best.b];
  const joined: Group = { arena: a.arena, half: a.half, low: Math.min(a.low, b.low), high: Math.max(a.high, b.high), tensors: [...a.tensors, ...b.tensors] };
  return joinOverlapping([...groups.filter((g) => g !== a && g !== b), joined]);
}

/** The device's limits are passed by what a tensor needs: a diagnostic at the line the tensor comes from, or the kernel's. */
function tooMuch(kernel: Kernel, program: Program, tensor: TensorId, needs: string, limit: string): never {
  const origins = [tensorOf(program, tensor).origin, ...kernel.origins, ...program.tensors.map((t) => t.origin)];
  const span = origins.find((o) => o.span !== null)?.span ?? { file: program.name, start: 0, end: 0 };
  throw new DiagnosticError([diagnostic('SSL4003', span, { needs, limit })]);
}
