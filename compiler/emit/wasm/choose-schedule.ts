/** Which schedule a kernel of the CPU target gets: the one measured to be fastest for its shape where there is one, else what the cost model says. */
import type { TargetOptions } from '../../api.js';
import type { ContractKernel, Kernel, OnlineKernel } from '../../fuse/kernel.js';
import type { ElementOf } from '../measured-schedule.js';
import { labelsOf, measuredSchedule } from '../measured-schedule.js';
import { findFilter } from './minimal-filter.js';
import type { SlicesCut } from './nest.js';
import { tiles } from './panels.js';
import type { Tile } from './panels.js';
import type { ContractSchedule, FilterSchedule, OnlineSchedule, PanelSchedule } from './schedule.js';
import { scheduleContract, scheduleOnline, schedulePanels } from './schedule.js';

/** What a choice depends on beside the kernel. */
export interface ScheduleChoice {
  /** Minimal filtering may be used. */
  readonly filters: boolean;
  /** Measured schedules, by kernel shape. */
  readonly schedules?: Readonly<Record<string, string>>;
}

/** What the options of a target leave to choose from. */
export const choiceOf = ({ disabled, schedules }: Pick<TargetOptions, 'disabled' | 'schedules'>): ScheduleChoice =>
  ({ filters: !disabled.includes('filters'), ...(schedules === undefined ? {} : { schedules }) });

export function isTunable(kernel: Kernel): kernel is ContractKernel | OnlineKernel {
  return kernel.kind === 'contract' || kernel.kind === 'online';
}

/** `cut`: how a product of a chain is cut. */
export const chooseContract = (kernel: ContractKernel, choice: ScheduleChoice, elementOf: ElementOf, cut: SlicesCut | null): ContractSchedule =>
  measuredSchedule(kernel, choice, elementOf, () => contractCandidates(kernel, choice)) ?? scheduleContract(kernel, choice.filters, cut);

export const chooseOnline = (kernel: OnlineKernel, choice: ScheduleChoice, elementOf: ElementOf): OnlineSchedule =>
  measuredSchedule(kernel, choice, elementOf, () => onlineCandidates(kernel)) ?? scheduleOnline(kernel);

/** The names of the schedules worth measuring for a kernel, the cost model's own first. */
export function candidateLabels(kernel: ContractKernel | OnlineKernel, choice: ScheduleChoice): readonly string[] {
  return labelsOf(kernel.kind === 'contract' ? contractCandidates(kernel, choice) : onlineCandidates(kernel));
}

/** The tiles that waste no time where rows and columns are many. */
const usualTiles = (): readonly Tile[] => tiles.slice(0, 3).map(({ rows, columns }) => ({ rows, columns }));

function contractCandidates(kernel: ContractKernel, { filters }: ScheduleChoice): readonly ContractSchedule[] {
  const own = scheduleContract(kernel, filters);
  const panels = schedulePanels(kernel, null);
  const filtered: readonly FilterSchedule[] = filters && findFilter(kernel) !== null ? [16, 32, 64].map((tiles) => ({ kind: 'filter', tiles })) : [];
  // Where filtering is clearly faster, panels are measured once, to be sure of it.
  if (own.kind === 'filter') return [own, ...filtered, panels];
  const others: readonly PanelSchedule[] = [
    ...usualTiles().map((tile) => ({ ...panels, tile })), ...[48, 192].map((rows) => ({ ...panels, rows })), ...[128, 512].map((columns) => ({ ...panels, columns })),
  ];
  return [own, ...others, ...filtered];
}

function onlineCandidates(kernel: OnlineKernel): readonly OnlineSchedule[] {
  const own = scheduleOnline(kernel);
  return [own, ...usualTiles().map((tile) => ({ ...own, tile })), ...[48, 144, 192].map((rows) => ({ ...own, rows })), ...[64, 256].map((streamed) => ({ ...own, streamed }))];
}
