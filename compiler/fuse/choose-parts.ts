/**
 * Into how many parts a GPU should take the sums of a kernel: few results with long sums leave most of its cores idle, while parts cost
 * memory, their way there and back, and one more kernel. The figures are those of a large GPU's data sheet, not measured; only
 * their ratios matter.
 */
import { bytesOf, sizeAlong, sizeOf } from '../tensor/program.js';
import type { Program } from '../tensor/program.js';
import { voteOfReads } from './vote-of-reads.js';
import { innerScalarsOf, tensorsIn } from './draft.js';
import type { ContractKernel, Kernel, ReduceKernel } from './kernel.js';

/** How many pieces of equal length each axis that is summed over is cut into. */
export type Parts = readonly number[];

const gpu = {
  cores: 132, threads: 132 * 1024,
  /** What one core multiplies and adds, the memory moves and the cache gives in a second; what a kernel costs by itself. */
  flopsPerCore: 2e11, bytesPerSecond: 2e12, cacheBytesPerSecond: 5e12, kernelSeconds: 8e-6,
} as const;

/** Parts must save so much of the whole's time. */
const worthwhile = 0.7;

/** The parts that are best for a kernel; null: its sums stay whole. */
export function chooseParts(program: Program, kernel: ContractKernel | ReduceKernel): Parts | null {
  const seconds = kernel.kind === 'contract' ? productSeconds(kernel) : reductionSeconds(kernel);
  const results = sizeOf(kernel.extents) * (kernel.kind === 'contract' ? 1 : kernel.reductions.length);
  const room = bytesRead(program, kernel);
  const shortest = kernel.kind === 'contract' ? 64 : 32;
  let best: { readonly parts: Parts; readonly seconds: number } | null = null;
  for (let wanted = 2; wanted <= 4096; wanted *= 2) {
    const parts = partsOf(kernel.reduceExtents, wanted);
    const pieces = sizeOf(parts);
    // Parts never take more memory than what they are made of.
    if (pieces < 2 || sizeOf(kernel.reduceExtents) / pieces < shortest || 4 * pieces * results > room) continue;
    const time = seconds(pieces) + (8 * pieces * results) / gpu.bytesPerSecond + gpu.kernelSeconds;
    if (best === null || time < best.seconds) best = { parts, seconds: time };
  }
  return best !== null && best.seconds < worthwhile * seconds(1) ? best.parts : null;
}

/** About `wanted` parts, outermost axes first; no more. */
function partsOf(extents: readonly number[], wanted: number): Parts {
  let left = wanted;
  return extents.map((n) => {
    const pieces = largestDivisor(n, left);
    left = Math.floor(left / pieces);
    return pieces;
  });
}

function largestDivisor(n: number, most: number): number {
  for (let d = Math.min(n, most); d > 1; d--) if (n % d === 0) return d;
  return 1;
}

/** Bytes of the tensors that are summed. */
function bytesRead(program: Program, kernel: Kernel): number {
  return [...tensorsIn(innerScalarsOf(kernel))].reduce((n, id) => n + sizeOf(program.tensors[id].shape) * bytesOf(program.tensors[id].element), 0);
}

/** Seconds that a product in so many pieces takes, in blocks of one of the sizes that schedules have; small blocks read more. */
function productSeconds(kernel: ContractKernel): (pieces: number) => number {
  const [batch, rows, columns] = [kernel.batch, kernel.rows, kernel.columns].map((axes) => sizeAlong(axes, kernel.extents));
  const steps = sizeOf(kernel.reduceExtents);
  return (pieces) => Math.min(...([[64, 1], [32, 0.5]] as const).map(([side, rate]) => {
    const blocks = pieces * batch * Math.ceil(rows / side) * Math.ceil(columns / side);
    return (Math.max(1, blocks / gpu.cores) * 2 * side * side * (steps / pieces)) / (rate * gpu.flopsPerCore);
  }));
}

/**
 * Seconds that a reduction in so many pieces takes. With few results many threads share each. Where neighbouring results lie side by side
 * in memory, those threads then read apart from one another, eight times what they need; a thread a result reads side by side.
 */
function reductionSeconds(kernel: ReduceKernel): (pieces: number) => number {
  const points = sizeOf(kernel.extents);
  const length = sizeOf(kernel.reduceExtents);
  const apart = resultsAreNeighbours(kernel);
  return (pieces) => {
    const lanes = Math.min(256, Math.max(1, gpu.threads / (points * pieces)), length / pieces / 4);
    const shared = lanes >= 4;
    const busy = Math.min(1, (points * pieces * (shared ? lanes : 1)) / gpu.threads);
    const bytes = 4 * points * length;
    return Math.max(bytes / gpu.bytesPerSecond, (shared && apart ? 8 * bytes : bytes) / gpu.cacheBytesPerSecond) / busy;
  };
}

/** Whether most reads have the last parallel axis as their fastest index: that which moves least along memory. */
function resultsAreNeighbours({ extents, reductions }: ReduceKernel): boolean {
  const vote = (along: ReadonlyMap<number, number>): number => {
    const [[fastest]] = [...along].sort(([, a], [, b]) => Math.abs(a) - Math.abs(b));
    return fastest === extents.length - 1 ? 1 : fastest >= extents.length ? -1 : 0;
  };
  return reductions.reduce((sum, { body }) => sum + voteOfReads(body, vote), 0) > 0;
}
