/**
 * Fusion: a tensor program becomes few kernels. The passes run in the order of the list below, each on a draft in
 * which every step is a correct program; each can be left out by name.
 */
import { bug } from '../../grammar/diagnostics/report.js';
import type { Program } from '../tensor/program.js';
import type { TensorId } from '../tensor/scalar.js';
import { classifyContractions } from './classify-contractions.js';
import type { Draft, FuseContext, FusePass } from './draft.js';
import { tensorsTouched } from './draft.js';
import { groupLaunches } from './group-launches.js';
import type { LaunchGroups } from './group-launches.js';
import { hoistInvariants } from './hoist-invariants.js';
import { inlineMaps } from './inline-maps.js';
import type { Kernel, KernelProgram } from './kernel.js';
import { limitBindings } from './limit-bindings.js';
import { lowerKernels } from './lower-kernels.js';
import { mergeEpilogues, mergeSiblings } from './merge-kernels.js';
import { mergeOnline } from './merge-online.js';
import { narrowStorage } from './narrow-storage.js';
import { placeUpdates } from './place-updates.js';
import { reuseSums } from './reuse-sums.js';
import { runEarly } from './run-early.js';
import { scatterSegments } from './scatter-segments.js';
import { sortSegments } from './sort-segments.js';
import { splitLongSorts } from './split-long-sorts.js';
import { splitLongStreams } from './split-long-streams.js';
import { splitLongSums } from './split-long-sums.js';
import { streamProducts } from './stream-products.js';
import { tidyKernels } from './tidy-kernels.js';
import { verifyKernels } from './verify-kernels.js';

export interface FuseOptions extends FuseContext {
  /** Passes to leave out, by name. */
  readonly disabled: readonly string[];
}

/** The passes, in order. */
export const fusePasses: readonly FusePass[] = [
  // First: what a gradient and the forward pass sum is still written alike.
  { name: 'inner sums', description: 'sums over several axes read inner sums that exist', run: reuseSums },
  // Before contractions, which would see a product with a matrix of zeros and ones.
  { name: 'segments', description: 'sums by key become segmented sums', run: scatterSegments },
  { name: 'contractions', description: 'sums of products become contract kernels', run: classifyContractions },
  // Before inlining: a body whose costly part is done is cheap enough to be computed again by each reader.
  { name: 'early invariants', description: 'costly arithmetic of few points moves out of large loops', run: hoistInvariants },
  // Before the merges: what can disappear into its users leaves less to merge.
  { name: 'inline', description: 'maps move into the kernels that read them', run: inlineMaps },
  { name: 'hidden segments', description: 'sums by key that inlining brought to light', run: scatterSegments },
  // Once all segmented sums are found, and before maps that add them up join something else.
  { name: 'sorted segments', description: 'segmented sums into large tables sort their items', run: sortSegments },
  { name: 'hidden contractions', description: 'products that inlining brought to light', run: classifyContractions },
  // Before epilogues: a map over the matrix must still be free to move into the matrix's users.
  { name: 'online', description: 'similarity matrices are consumed as they are computed', run: streamProducts },
  // Before epilogues, which take the small maps in.
  { name: 'invariants', description: 'costly arithmetic of few points moves out of large loops', run: hoistInvariants },
  { name: 'epilogues', description: 'maps join the kernel whose results they read', run: mergeEpilogues },
  // After epilogues: the sum of two products is then the second one's store.
  { name: 'online sums', description: 'sums of streamed products with the same scores become one', run: mergeOnline },
  { name: 'siblings', description: 'reductions and maps over the same data become one kernel', run: mergeSiblings },
  // Siblings bring together what a map needs from several kernels.
  { name: 'late epilogues', description: 'maps join merged kernels', run: mergeEpilogues },
  // Once kernels are whole: what a kernel frees depends on all it reads.
  { name: 'early', description: 'kernels that free more memory than they take run as soon as they can', run: runEarly },
  // Last of those that change what a kernel reads.
  { name: 'bindings', description: 'kernels that touch too many tensors are split', run: limitBindings },
  { name: 'tidy', description: 'index arithmetic folds, equal scalars become one', run: tidyKernels },
  // Kernels are final but for where updates go, which stay as they are.
  { name: 'half', description: 'where asked for, large tensors between kernels are kept in 16 bits', run: narrowStorage },
  // After what decides by the results of sums how their tensors are kept: parts of sums are kept whole.
  { name: 'long streams', description: 'streamed products go through what does not stay in a cache in parts', run: splitLongStreams },
  { name: 'long sums', description: 'on GPUs, few results with long sums are summed in parts', run: splitLongSums },
  // Parts bind less than the sums they are of.
  { name: 'sibling parts', description: 'on GPUs, parts of sums over the same data become one kernel', run: (draft, context) => (context.manyCores === true ? mergeSiblings(draft, context) : draft) },
  // Last: what it stores by row must not be merged with anything.
  { name: 'long sorts', description: 'on GPUs, long sorts are of blocks, and then of places among them', run: splitLongSorts },
];

/** How far below the limit the passes aim when updates that need a copy push a kernel over it. */
const bindingSlack = 2;

/** Makes kernels of a program. */
export function fuse(program: Program, options: FuseOptions): KernelProgram {
  let result = fuseWithin(program, options);
  // An update that cannot be placed over its source binds one tensor more than the passes counted on.
  for (let slack = 1; slack <= bindingSlack && mostTouched(result) > options.maxBindings; slack++) {
    result = fuseWithin(program, { ...options, maxBindings: options.maxBindings - slack });
  }
  verifyKernels(result);
  return result;
}

const mostTouched = (kernels: KernelProgram): number => kernels.kernels.reduce((most, k) => Math.max(most, tensorsTouched(k).size), 0);

function fuseWithin(program: Program, options: FuseOptions): KernelProgram {
  let draft: Draft = lowerKernels(program);
  for (const pass of fusePasses) {
    if (!options.disabled.includes(pass.name)) draft = pass.run(draft, options);
  }
  draft = placeUpdates(draft, !options.disabled.includes('updates'));
  const groups: LaunchGroups = options.disabled.includes('launches') ? { launches: draft.kernels.map((_, i) => [i]), chains: [], tails: [] }
    : groupLaunches(draft.program, draft.kernels, options.disabled.includes('chains') ? null : options.target === 'wasm' ? 'tasks' : options.manyCores === true ? 'workgroups' : null, options);
  const order = groups.launches.flat();
  const kernels = nameKernels(order.map((i) => draft.kernels[i]));
  const place = new Map(order.map((i, position) => [i, position]));
  const placeOf = (i: number): number => place.get(i) ?? bug(`kernel ${i} is in no launch`);
  return {
    name: program.name, program: draft.program, kernels, launches: groups.launches.map((g) => g.map(placeOf)), materialized: materializedTensors(draft),
    chains: groups.chains.map((c) => ({ ...c, members: c.members.map((m) => ({ ...m, kernel: placeOf(m.kernel) })) })),
    tails: groups.tails.map(placeOf),
  };
}

/** `07_f_conv1_y`: the position, then what the kernel's last stage is for. */
function nameKernels(kernels: readonly Kernel[]): readonly Kernel[] {
  const digits = Math.max(2, String(kernels.length - 1).length);
  return kernels.map((k, i) => {
    const words = (k.origins[k.origins.length - 1]?.name ?? k.kind).replace(/[^A-Za-z0-9]+/g, '_').replace(/^_+|_+$/g, '');
    return { ...k, name: `${String(i).padStart(digits, '0')}_${words === '' ? k.kind : words.slice(0, 48)}` };
  });
}

/** Sources, what kernels store, and the windows and packs that kernels or outputs see them through. */
function materializedTensors(draft: Draft): readonly TensorId[] {
  const found = new Set<TensorId>();
  const add = (id: TensorId): void => {
    if (found.has(id)) return;
    found.add(id);
    const tensor = draft.program.tensors[id];
    if (tensor.kind === 'window') add(tensor.of);
    if (tensor.kind === 'pack') tensor.parts.forEach(add);
  };
  for (const t of draft.program.tensors) if (t.kind === 'source') add(t.id);
  for (const k of draft.kernels) for (const id of tensorsTouched(k)) add(id);
  for (const o of draft.program.outputs) add(o.tensor);
  // A part lies inside its pack, so the pack's memory exists whenever a part's does.
  for (const t of draft.program.tensors) if (t.kind === 'pack' && t.parts.some((p) => found.has(p))) add(t.id);
  return [...found].sort((a, b) => a - b);
}
