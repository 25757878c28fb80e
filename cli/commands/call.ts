/** `sslc call`: evaluates one function, layer, energy, view or model on given tensors. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { CallInput, CompiledCall } from '../../compiler/api.js';
import { compileCall } from '../../compiler/pipeline.js';
import type { HostArray, Session } from '../../runtime/device/device.js';
import { atomicWrite } from '../../runtime/train/atomic-write.js';
import { writeParameters } from '../../runtime/train/run-state.js';
import { decodeSafetensors, encodeSafetensors, type NamedTensor } from '../../runtime/train/safetensors.js';
import { targetOf, withDevice } from '../device.js';
import { withSchedules } from '../tune.js';
import { done, type Context, type Json, type Outcome } from '../outcome.js';
import { prepare } from '../prepare.js';
import { table } from '../table.js';

export interface CallOptions {
  readonly device: string;
  readonly inputs: string;
  readonly set: Readonly<Record<string, string>>;
  readonly params?: string;
  readonly seed: number;
  readonly grad?: boolean;
  readonly inference?: boolean;
  readonly output?: string;
}

/** Runs `name` once; writes results, and parameters when they were drawn. */
export async function call(context: Context, file: string, name: string, options: CallOptions): Promise<Outcome> {
  const { directory } = context.terminal;
  const prepared = prepare(context, file, { set: options.set });
  const inputs = await readTensors(directory, options.inputs);
  const given = options.params === undefined ? null : await readTensors(directory, options.params);
  return withDevice(options.device, async (device) => {
    const compiled = compileCall(prepared.loaded, {
      name,
      set: prepared.set,
      inputs: Object.fromEntries([...inputs].map(([key, tensor]) => [key, describe(tensor)])),
      gradients: options.grad === true,
      training: options.inference !== true,
      target: withSchedules(context, device, targetOf(device)),
    });
    const session = await device.load(compiled.plan);
    try {
      write(session, 'clock.seed', Int32Array.of(options.seed));
      write(session, 'clock.step', Int32Array.of(0));
      if ('init' in compiled.plan.entries) await session.run('init');
      if (given !== null) await writeParameters(session, { parameters: compiled.parameters }, given, options.params ?? '');
      for (const [key, tensor] of inputs) write(session, `input.${key}`, tensor.data);
      await session.run('call');
      const unused = [...inputs.keys()].filter((key) => !(`input.${key}` in session.plan.sources));
      if (unused.length > 0 && !context.json) context.terminal.stderr(`note: the result does not depend on ${unused.join(', ')}\n`);
      const results = await readResults(session, compiled);
      if (given === null) for (const [key, tensor] of await readParameters(session, compiled)) results.set(key, tensor);
      if (options.output !== undefined) await atomicWrite(resolve(directory, options.output), encodeSafetensors(results));
      return done(options.output === undefined ? show(results) : '', { ...asJson(results, options.output ?? null), unused }, compiled.diagnostics);
    } finally {
      await session.close();
    }
  });
}

async function readTensors(directory: string, path: string): Promise<ReadonlyMap<string, NamedTensor>> {
  return decodeSafetensors(await readFile(resolve(directory, path)), path).tensors;
}

function describe({ shape, data }: NamedTensor): CallInput {
  return { shape, element: data instanceof Float32Array ? 'f32' : data instanceof Int32Array ? 'i32' : 'u8' };
}

function write(session: Session, source: string, data: HostArray): void {
  if (source in session.plan.sources) session.write(source, data);
}

async function readResults(session: Session, { plan, outputs }: CompiledCall): Promise<Map<string, NamedTensor>> {
  const results = new Map<string, NamedTensor>();
  for (const name of outputs) results.set(name, { shape: plan.entries['call'].outputs[name].shape, data: await session.readOutput('call', name) });
  return results;
}

/** The parameters, each under `param.PATH`. */
async function readParameters(session: Session, { parameters }: CompiledCall): Promise<Map<string, NamedTensor>> {
  const found = new Map<string, NamedTensor>();
  const arenas = new Map<string, HostArray>();
  for (const { path, arena, offset, shape } of parameters) {
    const whole = arenas.get(arena) ?? (await session.readSource(arena));
    arenas.set(arena, whole);
    const length = shape.reduce((a, b) => a * b, 1);
    found.set(`${arena === 'parameters' ? 'param' : arena}.${path}`, { shape, data: whole.slice(offset, offset + length) });
  }
  return found;
}

const fewValues = 8;

function show(results: ReadonlyMap<string, NamedTensor>): string {
  return table([...results].map(([name, { shape, data }]) => [name, `[${shape.join(', ')}]`, `${[...data.slice(0, fewValues)].map(short).join(' ')}${data.length > fewValues ? ' ...' : ''}`]));
}

function short(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toPrecision(7).replace(/\.?0+$/, '');
}

function asJson(results: ReadonlyMap<string, NamedTensor>, output: string | null): { readonly [key: string]: Json } {
  return { output, tensors: Object.fromEntries([...results].map(([name, { shape, data }]) => [name, { shape, values: data.length <= 64 ? [...data].map((v) => (Number.isFinite(v) ? v : String(v))) : null }])) };
}
