/**
 * How fast the device multiplies square matrices with every schedule that the compiler would measure: in f32, and from 16-bit floats, on
 * matrix units where there are any. Each result is checked at some places before it is timed.
 */
import type { TargetOptions } from '../../compiler/api.js';
import { shapeKey } from '../../compiler/emit/measured-schedule.js';
import { candidateLabels } from '../../compiler/emit/wgsl/choose-schedule.js';
import { emitWgsl } from '../../compiler/emit/wgsl/emit-wgsl.js';
import { fuse } from '../../compiler/fuse/fuse.js';
import type { ContractKernel, KernelProgram } from '../../compiler/fuse/kernel.js';
import { planMemory } from '../../compiler/plan/plan-memory.js';
import type { Entry, Launch, Plan } from '../../compiler/plan/plan.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { index, mul } from '../../compiler/tensor/scalar.js';
import type { Device, Session } from '../../runtime/device/device.js';
import { hashedArray } from '../values.js';

export interface ProductRate {
  readonly element: 'f32' | 'f16';
  readonly schedule: string;
  readonly gigaflopsPerSecond: number;
  /** The largest difference from the exact result, relative to the length of a row; null where the device refused the kernel. */
  readonly error: number | null;
  readonly problem: string | null;
}

/** x w' with operands kept as `element`: copies in it, then the product. */
function productOf(n: number, element: 'f32' | 'f16'): KernelProgram {
  const b = new ProgramBuilder(`product of ${element}`);
  const origin = (name: string) => ({ span: null, name });
  const operand = (name: string) => {
    const source = b.source(name, 'data', 'f32', [n, n], origin(name));
    return element === 'f32' ? source : b.comprehension('f16', [n, n], null, b.identity(source), origin(`${name} in 16 bits`));
  };
  const [x, w] = [operand('x'), operand('w')];
  b.output('y', b.comprehension('f32', [n, n], { op: 'sum', extents: [n] }, mul(b.read(x, [index(0), index(2)]), b.read(w, [index(1), index(2)])), origin('y')));
  const fused = fuse(b.build(), { disabled: ['inline', 'early invariants', 'invariants', 'launches'], maxBindings: 8, target: 'wgsl' });
  return { ...fused, kernels: fused.kernels.map((k) => (k.kind === 'contract' && element === 'f16' ? { ...k, half: true } : k)) };
}

const often = 8;

/** The program's plan with one schedule: `all` makes everything, `often` runs the product alone, several times. */
function planWith(kernels: KernelProgram, target: TargetOptions): Plan {
  const memory = planMemory([kernels], { alignment: 256, arenaLimit: target.maxBindingBytes });
  const [{ placements }] = memory.entries;
  const { code, launches: [emitted] } = emitWgsl([{ kernels, placements }], target);
  const launches = emitted.map(({ kernel, workgroups, bindings, parts }): Launch =>
    ({ kernel, workgroups, bindings, class: kernels.kernels[parts[0]].kind, origin: kernel, cost: { flops: 0, bytesRead: 0, bytesWritten: 0, idealBytes: 0 } }));
  const product = launches.filter((l) => l.class === 'contract');
  const outputs = Object.fromEntries(kernels.program.outputs.flatMap((o) => { const slot = placements.get(o.tensor); return slot === undefined ? [] : [[o.name, slot]]; }));
  const entry = (name: string, of: readonly Launch[]): Entry => ({ name, launches: of, outputs, peakBytes: 0, liveBytes: 0 });
  return { version: 1, arenas: memory.arenas, sources: memory.sources, code, entries: { all: entry('all', launches), often: entry('often', Array.from({ length: often }, () => product).flat()) } };
}

async function milliseconds(session: Session, entry: string): Promise<number> {
  const started = performance.now();
  await session.run(entry);
  await session.finish();
  return performance.now() - started;
}

const label = (schedule: string): string => {
  const { unit, ...fields } = JSON.parse(schedule) as { readonly kind: string; readonly unit?: { readonly rows: number; readonly columns: number; readonly depth: number } };
  return [...(unit === undefined ? [] : [`unit ${unit.rows}x${unit.columns}x${unit.depth}`]), ...Object.entries(fields).map(([k, v]) => (k === 'kind' ? String(v) : `${k} ${String(v)}`))].join(', ');
};

/** Every schedule of the product of n x n matrices, until the time is up; `seconds` are for each element type. */
export async function measureProducts(device: Device, target: TargetOptions, n: number, seconds: number): Promise<readonly ProductRate[]> {
  const [x, w] = [hashedArray(n * n, 1), hashedArray(n * n, 2)];
  const places = Array.from({ length: 16 }, (_, k) => [(k * 397 + 13) % n, (k * 1009 + 7) % n]);
  const exact = places.map(([i, j]) => { let sum = 0; for (let k = 0; k < n; k++) sum += x[i * n + k] * w[j * n + k]; return sum; });
  const rates: ProductRate[] = [];
  for (const element of target.half === true ? (['f32', 'f16'] as const) : (['f32'] as const)) {
    const kernels = productOf(n, element);
    const kernel = kernels.kernels.find((k): k is ContractKernel => k.kind === 'contract');
    if (kernel === undefined) continue;
    const key = shapeKey(kernel, (id) => kernels.program.tensors[id].element);
    const ends = performance.now() + 1000 * seconds;
    for (const schedule of candidateLabels(kernel, target)) {
      if (performance.now() > ends) break;
      const row = { element, schedule: label(schedule) };
      let session: Session | null = null;
      try {
        session = await device.load(planWith(kernels, { ...target, schedules: { [key]: schedule } }));
        session.write('x', x);
        session.write('w', w);
        await session.run('all');
        const found = await session.readOutput('all', 'y');
        const error = Math.max(...places.map(([i, j], k) => Math.abs(found[i * n + j] - exact[k]))) / Math.sqrt(n);
        await milliseconds(session, 'often');
        const best = Math.min(await milliseconds(session, 'often'), await milliseconds(session, 'often'), await milliseconds(session, 'often')) / often;
        rates.push({ ...row, gigaflopsPerSecond: (2 * n ** 3) / best / 1e6, error, problem: error < (element === 'f32' ? 1e-4 : 1e-2) ? null : 'wrong' });
      } catch (error) {
        rates.push({ ...row, gigaflopsPerSecond: 0, error: null, problem: error instanceof Error ? error.message.split('\n')[0] : String(error) });
      } finally {
        await session?.close();
      }
    }
  }
  return rates;
}
