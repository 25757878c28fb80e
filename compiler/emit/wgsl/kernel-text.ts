/** What all kernel emitters share: the workgroup's number, the parts of a kernel's text, and the final stores. */
import type { Kernel, Store } from '../../fuse/kernel.js';
import type { TensorId } from '../../tensor/scalar.js';
import type { ScheduleLimits } from './schedule.js';
import type { Block, Environment, KernelWriter } from './writer.js';

/** A kernel's body and how to launch it. */
export interface KernelText {
  readonly threads: number;
  /** Workgroups in total, before they are split over dimensions. */
  readonly groups: number;
  /** `var<workgroup>` declarations. */
  readonly shared: readonly string[];
  /** Builtins beyond the workgroup's and thread's number. */
  readonly builtins: readonly string[];
  readonly features: readonly string[];
  /** Tensors that it reads four elements at a time: their bindings are arrays of vectors. */
  readonly vectors?: ReadonlySet<TensorId>;
  /** Lanes of a subgroup agree on what they do by what they find, which the analysis of subgroups' control flow does not follow. */
  readonly agree?: boolean;
  /** Its threads wait for one another without workgroup memory, so the kernel runs by itself. */
  readonly synchronises?: boolean;
}

export type Emitter<K extends Kernel> = (kernel: K, writer: KernelWriter, limits: ScheduleLimits) => KernelText;

const most = 65535;

/** Workgroups as x, y, z, none above 65,535. */
export function splitGroups(groups: number): readonly [number, number, number] {
  if (groups <= most) return [groups, 1, 1];
  const y = Math.ceil(groups / most);
  if (y <= most) return [Math.ceil(groups / y), y, 1];
  const z = Math.ceil(y / most);
  return [Math.ceil(groups / (Math.ceil(y / z) * z)), Math.ceil(y / z), z];
}

/** Evaluates every store, then writes: a later value never sees an earlier store of the same point. */
export function writeStores(stores: readonly Store[], writer: KernelWriter, environment: Environment, block: Block, address: string): void {
  const values = stores.map((store) => (stores.length === 1 ? writer.value(store.value, environment) : writer.variable(store.value, environment, 'result')));
  const addresses = stores.map((store) => writer.addressIn(store.tensor, environment) ?? address);
  stores.forEach((store, i) => writer.store(block, store.tensor, addresses[i], values[i], store.value.type));
}
