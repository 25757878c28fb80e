/**
 * The report of a compiled model: per launch, per class and in total the FLOPs, bytes moved and the ideal, and per entry the
 * memory. `sslc compile --report` prints the text or, with `--json`, the same as data.
 */
import type { KernelProgram } from '../fuse/kernel.js';
import { tensorsOfChains } from '../fuse/kernel.js';
import { isComputed, sizeOf } from '../tensor/program.js';
import { excessOf, totalCost } from './cost.js';
import type { Entry, LaunchCost, Plan } from './plan.js';
import { tensorBytes } from './lifetimes.js';
import { similaritiesOf, similarityLines } from './similarities.js';
import type { Similarities } from './similarities.js';

/** Some launches' cost, and the bytes moved as a multiple of the ideal. */
interface ReportedCost extends LaunchCost {
  readonly ratio: number;
}

export interface ReportedKernel extends ReportedCost {
  readonly name: string;
  readonly class: string;
  readonly origin: string;
  /** FLOPs per byte moved. */
  readonly intensity: number;
}

/** The launches of one class together, or those in which kernels run behind one another. */
export interface ReportedClass extends ReportedCost {
  readonly class: string;
  readonly launches: number;
}

export interface ReportedEntry extends ReportedCost {
  readonly name: string;
  readonly launches: number;
  readonly intensity: number;
  readonly classes: readonly ReportedClass[];
  /** Launches that hold chains, whatever their class. */
  readonly chained: ReportedClass;
  /** Transient memory: what the plan uses, and the most alive at once (the least any plan needs). */
  readonly peakBytes: number;
  readonly liveBytes: number;
  /** The largest tensors that this entry computes and keeps in memory. */
  readonly largest: readonly { readonly name: string; readonly shape: readonly number[]; readonly bytes: number }[];
  /** Products of rows and columns that are normalised: which are never stored, and which are. */
  readonly similarities: Similarities;
  readonly kernels: readonly ReportedKernel[];
}

export interface PlanReport {
  readonly version: 1;
  readonly memory: { readonly persistentBytes: number; readonly transientBytes: number };
  readonly entries: readonly ReportedEntry[];
}

/** A plan and the kernels it was made of. */
export interface Reported {
  readonly plan: Plan;
  readonly kernels: Readonly<Record<string, KernelProgram>>;
}

const intensityOf = (c: LaunchCost): number => c.flops / Math.max(1, c.bytesRead + c.bytesWritten);

/** The report as data and as text. */
export function describePlan({ plan, kernels }: Reported): { readonly text: string; readonly json: PlanReport } {
  const entries = Object.values(plan.entries).map((e) => reportEntry(e, kernels[e.name]));
  const bytes = (persistent: boolean): number => plan.arenas.filter((a) => a.persistent === persistent).reduce((n, a) => n + a.bytes, 0);
  const json: PlanReport = { version: 1, memory: { persistentBytes: bytes(true), transientBytes: bytes(false) }, entries };
  return { json, text: reportText(json) };
}

const withRatio = (cost: LaunchCost): ReportedCost => ({ ...cost, ratio: excessOf(cost) });

/** Classes in the order of what they move. */
function classesOf(launches: Entry['launches']): readonly ReportedClass[] {
  const names = [...new Set(launches.map((l) => l.class))];
  return names.map((name) => reportClass(name, launches.filter((l) => l.class === name))).sort((a, b) => b.idealBytes - a.idealBytes || (a.class < b.class ? -1 : 1));
}

const reportClass = (name: string, launches: Entry['launches']): ReportedClass => ({ class: name, launches: launches.length, ...withRatio(totalCost(launches.map((l) => l.cost))) });

function reportEntry(entry: Entry, kernels: KernelProgram | undefined): ReportedEntry {
  const launches = entry.launches.map((l) => ({ name: l.kernel, class: l.class, origin: l.origin, ...withRatio(l.cost), intensity: intensityOf(l.cost) }));
  const total = totalCost(entry.launches.map((l) => l.cost));
  const heads = new Set(kernels?.chains.map((c) => c.members[0].kernel));
  const chained = entry.launches.filter((_, i) => kernels?.launches[i]?.some((k) => heads.has(k)) ?? false);
  const own = tensorsOfChains(kernels?.chains ?? []);
  const computed = kernels === undefined ? [] : kernels.materialized.filter((id) => isComputed(kernels.program.tensors[id]) && !own.has(id));
  const largest = kernels === undefined ? [] : [...computed]
    .sort((a, b) => tensorBytes(kernels.program, b) - tensorBytes(kernels.program, a) || a - b)
    .slice(0, 8)
    .map((id) => {
      const { origin, shape } = kernels.program.tensors[id];
      return { name: origin.name, shape, bytes: tensorBytes(kernels.program, id) };
    });
  return {
    name: entry.name, launches: launches.length, ...withRatio(total), intensity: intensityOf(total), classes: classesOf(entry.launches), chained: reportClass('chained', chained), peakBytes: entry.peakBytes, liveBytes: entry.liveBytes, largest, similarities: kernels === undefined ? { streamed: [], stored: [] } : similaritiesOf(kernels), kernels: launches,
  };
}

/** `12.3 M`, `4.56 Gi`: three digits. */
export function inUnits(n: number, base: 1000 | 1024): string {
  const units = ['', base === 1024 ? 'K' : 'k', 'M', 'G', 'T', 'P'];
  let value = n;
  let unit = 0;
  while (value >= base && unit < units.length - 1) {
    value /= base;
    unit += 1;
  }
  const digits = unit === 0 ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0;
  return `${value.toFixed(digits)} ${units[unit]}${base === 1024 && unit > 0 ? 'i' : ''}`.trimEnd();
}

function reportText(report: PlanReport): string {
  const lines: string[] = [];
  for (const e of report.entries) {
    lines.push(`${e.name}: ${e.launches} launches, ${inUnits(e.flops, 1000)} FLOP, ${inUnits(e.bytesRead, 1024)}B read, ${inUnits(e.bytesWritten, 1024)}B written, ${e.intensity.toFixed(1)} FLOP/B, ${e.ratio.toFixed(2)} times the ideal ${inUnits(e.idealBytes, 1024)}B`);
    lines.push(`  transient memory ${inUnits(e.peakBytes, 1024)}B, least possible ${inUnits(e.liveBytes, 1024)}B`);
    lines.push(...similarityLines(e.similarities, (n) => `${inUnits(n, 1024)}B`).map((line) => `  ${line}`));
    lines.push(...table([['class', 'launches', 'FLOP', 'moved', 'ideal', 'ratio'], ...[...e.classes, ...(e.chained.launches === 0 ? [] : [e.chained])].map((c) => [
      c.class, String(c.launches), inUnits(c.flops, 1000), `${inUnits(c.bytesRead + c.bytesWritten, 1024)}B`, `${inUnits(c.idealBytes, 1024)}B`, c.ratio.toFixed(2),
    ])]).map((r) => `  ${r}`), '');
    const rows = [['kernel', 'class', 'FLOP', 'read', 'written', 'ratio', 'FLOP/B', 'from'], ...e.kernels.map((k) => [
      k.name, k.class, inUnits(k.flops, 1000), `${inUnits(k.bytesRead, 1024)}B`, `${inUnits(k.bytesWritten, 1024)}B`, k.ratio.toFixed(2), k.intensity.toFixed(1), shorten(k.origin, 60),
    ])];
    lines.push(...table(rows).map((r) => `  ${r}`));
    if (e.largest.length > 0) {
      lines.push('  largest tensors');
      lines.push(...table(e.largest.map((t) => [t.name, `[${t.shape.join(', ')}]`, `${inUnits(t.bytes, 1024)}B`, `${sizeOf(t.shape)} elements`])).map((r) => `    ${r}`));
    }
    lines.push('');
  }
  lines.push(`memory: ${inUnits(report.memory.persistentBytes, 1024)}B that outlives a run, ${inUnits(report.memory.transientBytes, 1024)}B reused within runs`);
  return lines.join('\n') + '\n';
}

function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 3)}...`;
}

/** Columns as wide as their widest cell; numbers to the right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows.length === 0 ? [] : rows[0].map((_, c) => Math.max(...rows.map((r) => r[c].length)));
  return rows.map((r) => r.map((cell, c) => (/^[\d.]+( |$)/.test(cell) ? cell.padStart(widths[c]) : cell.padEnd(widths[c]))).join('  ').trimEnd());
}
