/**
 * A chain as one kernel of a dispatch: a workgroup takes its slices through one member after the other, each a function that is
 * called for all workgroups the member would have for those slices. Between members all threads wait, so that they see what others have
 * stored.
 */
import { bug } from '../../../grammar/diagnostics/report.js';
import type { Chain, KernelProgram } from '../../fuse/kernel.js';
import { tensorsTouched } from '../../fuse/draft.js';
import { placeOwn } from '../../fuse/workgroup-memory.js';
import { slicesOfWorkgroup, workgroupThreads, workgroupsOf } from '../../fuse/workgroup-slices.js';
import type { TensorId } from '../../tensor/scalar.js';
import type { TensorAccess } from './bindings.js';
import { labelOf } from './bindings.js';
import type { WgslOptions } from './emit-wgsl.js';
import { restrictKernel } from './restrict-kernel.js';
import type { WrittenKernel } from './write-kernel.js';
import { overlaid, waits, writeKernel } from './write-kernel.js';

const memory = 'slice_memory';

/** The chain's text; `access` says where the tensors are that are not its own. */
export function writeChain({ members, own }: Chain, { kernels, program }: Pick<KernelProgram, 'kernels' | 'program'>, access: ReadonlyMap<TensorId, TensorAccess>, options: WgslOptions): WrittenKernel {
  const links = members.map((member) => ({ kernel: kernels[member.kernel], member }));
  const block = slicesOfWorkgroup(links) ?? bug(`the chain of ${links[0].kernel.name} has no slices for a workgroup`);
  const slicesOfOwn = new Map(own.map((id) => [id, (links.find(({ kernel }) => kernel.stores.some((s) => s.tensor === id)) ?? bug('a tensor that its chain does not make')).member.inner]));
  const restricted = links.map(({ kernel, member }) => restrictKernel(kernel, member, block, slicesOfOwn));
  const { places, words } = placeOwn(own, kernels, members);
  const inside = new Map(access);
  restricted.forEach(({ kernel }) => kernel.stores.forEach(({ tensor: id }) => {
    const base = places.get(id);
    if (base === undefined) return;
    const { element } = program.tensors[id];
    inside.set(id, {
      binding: { name: memory, type: 'u32', arena: -1, offset: 0, bytes: 0 }, base, element: element === 'f16' ? 'f32' : element, shape: kernel.extents, label: labelOf(program.tensors[id].origin),
    });
  }));
  // A product reads in vectors what no other member touches.
  const touched = links.flatMap(({ kernel }) => [...tensorsTouched(kernel)]);
  for (const [id, a] of inside) if (touched.filter((t) => t === id).length > 1) inside.set(id, { ...a, oneByOne: true });
  const { schedules: _measured, matrixUnits: _alone, ...limits } = options;
  const write = (threads: number): readonly WrittenKernel[] => restricted.map((r) => writeKernel(r.kernel, inside,
    { ...limits, maxWorkgroupInvocations: threads, maxWorkgroupStorageBytes: options.maxWorkgroupStorageBytes - 4 * words, sliced: true }, { bases: r.bases, place: r.place, own: places }));
  // Where threads wait for one another all must come by: as many as the one has that takes fewest.
  let threads = workgroupThreads;
  let stages = write(threads);
  for (let fewest = leastWaiting(stages); fewest < threads; fewest = leastWaiting(stages)) {
    threads = fewest;
    stages = write(threads);
  }
  const shared = overlaid(stages.map((s) => s.body.shared)) ?? bug(`members of the chain of ${links[0].kernel.name} call different things in a workgroup's memory alike`);
  return {
    body: {
      threads, groups: workgroupsOf(links), shared: [...shared, ...(words === 0 ? [] : [`var<workgroup> ${memory}: array<u32, ${words}>;`])],
      builtins: [...new Set(stages.flatMap((s) => s.body.builtins))], features: [...new Set(stages.flatMap((s) => s.body.features))], synchronises: true,
      vectors: new Set(stages.flatMap((s) => [...(s.body.vectors ?? [])])),
    },
    helpers: new Set(stages.flatMap((s) => [...s.helpers])), lines: [], stages,
  };
}

const leastWaiting = (stages: readonly WrittenKernel[]): number => Math.min(workgroupThreads, ...stages.filter((s) => waits(s.body)).map((s) => s.body.threads));

/** Calls of a chain's members for the slices of workgroup `group`; `call` runs member m for the text of a group's number. */
export function chainCalls(stages: readonly WrittenKernel[], threads: number, call: (member: number, group: string) => string): readonly string[] {
  return stages.flatMap(({ body }, m) => {
    const some = !waits(body) && body.threads < threads;
    const calls = `${some ? `if (thread < ${body.threads}) ` : ''}{ ${call(m, body.groups === 1 ? '0' : 'part')} }`;
    const wait = waits(body) ? ' workgroupBarrier();' : '';
    return [
      ...(m === 0 ? [] : ['storageBarrier();', 'workgroupBarrier();']),
      body.groups === 1 ? calls : `for (var part = 0; part < ${body.groups}; part++) { ${calls}${wait} }`,
    ];
  });
}
