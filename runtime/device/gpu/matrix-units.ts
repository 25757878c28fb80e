/**
 * Matrix units: products of small matrices by a subgroup, a feature of Dawn that is still an experiment. Drivers have been seen to
 * crash on it and to sum in 16 bits, so a unit is used only if the process that looks for adapters (`probe-text.ts`) has had
 * right results of it.
 */
import type { MatrixUnit } from '../../../compiler/api.js';
import type { AdapterFacts } from './gpu-limits.js';
import type { ProbeReport } from './probe.js';
import { probe } from './probe.js';

declare global {
  interface GPUAdapterInfo {
    /** Dawn's: what products of small matrices the adapter has. */
    readonly subgroupMatrixConfigs?: Iterable<MatrixConfiguration>;
  }
}

/** A product as Dawn describes it: M x K times K x N. */
export interface MatrixConfiguration {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

export const matrixFeature = 'chromium-experimental-subgroup-matrix';

/** The units of an adapter that sum in f32. */
export function offeredUnits(configurations: Iterable<MatrixConfiguration>): readonly MatrixUnit[] {
  return [...configurations].flatMap(({ componentType, resultComponentType, M: rows, N: columns, K: depth }): readonly MatrixUnit[] =>
    ((componentType === 'f16' || componentType === 'f32') && resultComponentType === 'f32' ? [{ element: componentType, rows, columns, depth }] : []));
}

/** Of the units of an adapter, those that gave right results in the probe. */
export async function provenUnits(info: AdapterFacts['info'], configurations: Iterable<MatrixConfiguration>): Promise<readonly MatrixUnit[]> {
  const offered = offeredUnits(configurations);
  return offered.length === 0 ? [] : unitsIn((await probe()).reports, info).filter((u) => offered.some((o) => sameUnit(o, u)));
}

/** What reports say of the units of an adapter. */
export function unitsIn(reports: readonly ProbeReport[], { device, description }: Pick<AdapterFacts['info'], 'device' | 'description'>): readonly MatrixUnit[] {
  const backends = reports.flatMap((r) => (r.kind === 'found' && r.info.device === device && r.info.description === description ? [r.backend] : []));
  return reports.flatMap((r) => (r.kind === 'multiplies' && backends.includes(r.backend) ? offeredUnits([r.unit]) : []));
}

const sameUnit = (a: MatrixUnit, b: MatrixUnit): boolean => a.element === b.element && a.rows === b.rows && a.columns === b.columns && a.depth === b.depth;
