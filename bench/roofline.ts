/** How near each class of kernels comes to what the machine can do: its ceilings, measured, against counted FLOPs and bytes. */
import type { ClassCost } from './peers/serve.js';

export interface Ceilings {
  /** Of a copy, and of the best single-precision product of any peer. */
  readonly gigabytesPerSecond: number;
  readonly gigaflopsPerSecond: number;
}

export interface ClassRoofline {
  readonly class: string;
  readonly launches: number;
  readonly ms: number;
  readonly gigaflopsPerSecond: number;
  readonly gigabytesPerSecond: number;
  /** Bytes moved, as counted, as a multiple of the least that such launches move. */
  readonly ratio: number;
  /** Of the time that the launches would take at the ceilings, each bound by its FLOPs or its ideal bytes. */
  readonly fraction: number;
}

export function rooflines(classes: readonly ClassCost[], ceilings: Ceilings): readonly ClassRoofline[] {
  return classes.map(({ class: name, launches, ms, each }) => {
    const sum = (f: (e: ClassCost['each'][number]) => number): number => each.reduce((n, e) => n + f(e), 0);
    const ideal = sum((e) => Math.max(e.flops / ceilings.gigaflopsPerSecond, e.idealBytes / ceilings.gigabytesPerSecond)) / 1e6;
    return { class: name, launches, ms, gigaflopsPerSecond: sum((e) => e.flops) / ms / 1e6, gigabytesPerSecond: sum((e) => e.bytes) / ms / 1e6, ratio: sum((e) => e.bytes) / Math.max(1, sum((e) => e.idealBytes)), fraction: ideal / ms };
  });
}

export function rooflineLines(found: readonly ClassRoofline[]): readonly string[] {
  const total = found.reduce((n, c) => n + c.ms, 0);
  return found.map((c) =>
    `    ${c.class.padEnd(9)} ${String(c.launches).padStart(4)} launches ${c.ms.toFixed(3).padStart(10)} ms  ${((100 * c.ms) / total).toFixed(0).padStart(3)} % of them all  ${c.gigaflopsPerSecond.toFixed(1).padStart(9)} GFLOP/s ${c.gigabytesPerSecond.toFixed(1).padStart(8)} GB/s, ${c.ratio.toFixed(2)}x the ideal bytes  ${(100 * c.fraction).toFixed(0).padStart(3)} % of the roofline`);
}
