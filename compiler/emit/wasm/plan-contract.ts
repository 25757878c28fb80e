/** How a product is computed where it stands: by its schedule, unless a chain cuts it in a way that the schedule cannot follow. */
import type { ContractKernel } from '../../fuse/kernel.js';
import { sizeAlong } from '../../tensor/program.js';
import type { ElementOf } from '../measured-schedule.js';
import type { ScheduleChoice } from './choose-schedule.js';
import { chooseContract } from './choose-schedule.js';
import { tilesOfLine } from './line-filter.js';
import type { Filter } from './minimal-filter.js';
import { findFilter } from './minimal-filter.js';
import type { SlicesCut } from './nest.js';
import type { FilterSchedule, PanelSchedule } from './schedule.js';
import { schedulePanels } from './schedule.js';

export type ContractPlan =
  | { readonly kind: 'panels'; readonly schedule: PanelSchedule }
  | { readonly kind: 'filter'; readonly schedule: FilterSchedule; readonly filter: Filter };

/** `cut`: how a product of a chain is cut. */
export function planContract(choice: ScheduleChoice, elementOf: ElementOf, kernel: ContractKernel, cut: SlicesCut | null): ContractPlan {
  const schedule = chooseContract(kernel, choice, elementOf, cut);
  if (schedule.kind === 'panels') return { kind: 'panels', schedule };
  const filter = findFilter(kernel);
  // Tasks of a chain have whole pictures; a gradient sums over them.
  const follows = filter !== null && (cut === null || (filter.stencil.kind === 'filter' && !filter.stencil.reaches.some((r) => cut.lead.includes(r.position))));
  return follows ? { kind: 'filter', schedule, filter } : { kind: 'panels', schedule: schedulePanels(kernel, cut) };
}

/** How many slices tasks of a chain must be multiples of, to have whole pictures where those are filtered, and how many they have at least, to have enough tiles for the weights they read. */
export function slicesOfPictures(plan: ContractPlan, { extents }: ContractKernel, slices: readonly number[]): { readonly unit: number; readonly least: number } {
  if (plan.kind === 'panels') return { unit: 1, least: 1 };
  const { stencil, pictureAxes, lines } = plan.filter;
  const [down, across] = lines.map(tilesOfLine);
  const unit = sizeAlong(slices.filter((a) => stencil.reaches.some((r) => r.position === a)), extents);
  const few = sizeAlong(pictureAxes, extents) * down * across < 8 * plan.schedule.tiles;
  return { unit, least: unit * Math.ceil((few ? plan.schedule.tiles / 2 : plan.schedule.tiles) / (down * across)) };
}
