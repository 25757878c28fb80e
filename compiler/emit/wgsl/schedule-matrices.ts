/**
 * Products on matrix units: a subgroup multiplies small matrices, of a size that the adapter offers. Units multiply 16-bit numbers
 * and sum in f32 (some multiply f32), so they are for products whose operands may be rounded so (`ContractKernel.half`). Operands
 * go through workgroup memory, where they are rounded, gathered and padded with zeros: convolutions and activations are no
 * different from plain matrices.
 */
import type { MatrixUnit } from '../../api.js';
import type { ContractKernel } from '../../fuse/kernel.js';
import type { ContractShape } from './contract-shape.js';
import type { ScheduleLimits } from './schedule.js';

export interface MatricesSchedule {
  readonly kind: 'matrices';
  readonly unit: MatrixUnit;
  /** Subgroups of a workgroup, down and across its block of the result. */
  readonly down: number;
  readonly across: number;
  /** Results of the unit that a subgroup keeps, down and across. */
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly buffers: 1 | 2;
}

/** The block of the result that a workgroup computes. */
export const blockOf = ({ unit, down, across, rows, columns }: MatricesSchedule): { readonly rows: number; readonly columns: number } =>
  ({ rows: down * rows * unit.rows, columns: across * columns * unit.columns });

/** Halves between rows of a tile that keep the threads of a subgroup off each other's banks, and rows where loads want them. */
export const padding = 8;

/** Bytes of workgroup memory: both tiles by their longer layout, and a strip of results on its way out. */
function sharedBytes(schedule: MatricesSchedule): number {
  const { unit, down, depth, buffers } = schedule;
  const block = blockOf(schedule);
  const vectors = (side: number): number => Math.max(depth * (side + padding), side * (depth + padding));
  return buffers * (vectors(block.rows) + vectors(block.columns)) * (unit.element === 'f16' ? 2 : 4) + 4 * down * unit.rows * block.columns;
}

/** Of the sizes of a result that fill a workgroup, by columns and rows. */
const blocks = [[128, 128], [128, 64], [64, 128], [64, 64], [32, 64], [64, 32], [32, 32]] as const;
const mostResults = 32;

/** What may be used for a kernel on an adapter, larger blocks first. */
export function matricesCandidates(kernel: ContractKernel, limits: ScheduleLimits): readonly MatricesSchedule[] {
  const { matrixUnits: units } = limits;
  if (units === undefined || limits.software) return [];
  const found: MatricesSchedule[] = [];
  for (const element of ['f16', 'f32'] as const) {
    if (element === 'f16' && kernel.half !== true) continue;
    const unit = largest(units.shapes.filter((u) => u.element === element));
    if (unit === null) continue;
    for (const [blockRows, blockColumns] of blocks) {
      for (const [depth, buffers] of [[32, 1], [32, 2], [16, 2], [64, 1]] as const) {
        const schedule: MatricesSchedule = { kind: 'matrices', unit, down: 2, across: 2, rows: blockRows / 2 / unit.rows, columns: blockColumns / 2 / unit.columns, depth, buffers };
        if (fits(schedule, units.lanes, limits)) found.push(schedule);
      }
    }
  }
  return found;
}

/** The unit that does most at once: the others do the same in more steps. */
function largest(units: readonly MatrixUnit[]): MatrixUnit | null {
  const sizeOf = (u: MatrixUnit): number => u.rows * u.columns * u.depth;
  return units.reduce<MatrixUnit | null>((best, u) => (best === null || sizeOf(u) > sizeOf(best) ? u : best), null);
}

function fits(schedule: MatricesSchedule, lanes: number, limits: ScheduleLimits): boolean {
  const { unit, rows, columns, depth } = schedule;
  const block = blockOf(schedule);
  const threads = matrixThreads(schedule, lanes);
  return Number.isInteger(rows) && Number.isInteger(columns) && depth % unit.depth === 0 && rows * columns <= mostResults
    && threads <= limits.maxWorkgroupInvocations && sharedBytes(schedule) <= limits.maxWorkgroupStorageBytes
    // Every thread stages as many vectors as every other.
    && [block.rows, block.columns].every((side) => (side * depth) % (4 * threads) === 0 && threads % (side / 4) === 0) && threads % depth === 0;
}

/** Threads of a workgroup: subgroups may be smaller than the largest, then those beyond the ones needed only help to stage. */
export const matrixThreads = ({ down, across }: MatricesSchedule, lanes: number): number => down * across * lanes;

/**
 * The units' schedule for a product that should gain from them; null where the tiles of f32 are the better guess: few rows or columns leave
 * most of a block empty, and short sums do not pay for the way through workgroup memory.
 */
export function scheduleMatrices(kernel: ContractKernel, shape: ContractShape, limits: ScheduleLimits): MatricesSchedule | null {
  const candidates = matricesCandidates(kernel, limits);
  if (candidates.length === 0 || shape.rows < 32 || shape.columns < 32 || shape.steps < 32) return null;
  const groups = (s: MatricesSchedule): number => shape.batch * Math.ceil(shape.rows / blockOf(s).rows) * Math.ceil(shape.columns / blockOf(s).columns);
  /** The part of the blocks' arithmetic that is wanted. */
  const used = (s: MatricesSchedule): number => (shape.batch * shape.rows * shape.columns) / (groups(s) * blockOf(s).rows * blockOf(s).columns);
  const enough = candidates.filter((s) => groups(s) >= fewestGroups && used(s) >= 0.6);
  const fewer = enough.length > 0 ? enough : candidates.filter((s) => groups(s) === Math.max(...candidates.map(groups)));
  const [first] = fewer;
  // Of those with the same block, the next steps read ahead where the sums are long.
  const wanted = shape.steps >= 256 ? 2 : 1;
  return fewer.find((s) => s.unit === first.unit && blockOf(s).rows === blockOf(first).rows && blockOf(s).columns === blockOf(first).columns && s.buffers === wanted) ?? first;
}

/** Workgroups that keep a large GPU's cores busy. */
const fewestGroups = 128;
