/**
 * Everything a run must keep to go on bit for bit, as named tensors: parameters one by one under `param.PATH`, and
 * every other persistent source (targets, running statistics, queues, optimizer moments) whole, under its own name.
 */
import type { Manifest } from '../../compiler/plan/manifest.js';
import type { Plan } from '../../compiler/plan/plan.js';
import type { Session } from '../device/device.js';
import { fail } from '../data/problem.js';
import type { NamedTensor } from './safetensors.js';

type Sources = Plan['sources'];

const isState = (source: Sources[string]): boolean => source.role === 'parameters' || source.role === 'state';

/** Names of the sources that make up the state, sorted. */
export function stateSources(plan: Plan): readonly string[] {
  return Object.keys(plan.sources).filter((n) => isState(plan.sources[n])).sort();
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** Reads the whole state from the device. */
export async function readState(session: Session, manifest: Manifest): Promise<Map<string, NamedTensor>> {
  const tensors = new Map<string, NamedTensor>();
  for (const name of stateSources(session.plan)) {
    const data = await session.readSource(name);
    const entries = session.plan.sources[name].role === 'parameters' ? manifest.parameters.filter((p) => p.arena === name) : [];
    if (entries.length === 0) {
      tensors.set(name, { shape: session.plan.sources[name].shape, data: data.slice() });
      continue;
    }
    for (const entry of entries) {
      tensors.set(`param.${entry.path}`, { shape: entry.shape, data: data.slice(entry.offset, entry.offset + sizeOf(entry.shape)) });
    }
  }
  return tensors;
}

/** Writes a state read earlier. Everything the plan keeps must be there, in the right shape; `shown` names the file. */
export function writeState(session: Session, manifest: Manifest, tensors: ReadonlyMap<string, NamedTensor>, shown: string): void {
  for (const name of stateSources(session.plan)) {
    const slot = session.plan.sources[name];
    const entries = slot.role === 'parameters' ? manifest.parameters.filter((p) => p.arena === name) : [];
    if (entries.length === 0) {
      session.write(name, tensorOf(tensors, name, slot.shape, slot.element, shown).data);
      continue;
    }
    const arena = new Float32Array(sizeOf(slot.shape));
    for (const entry of entries) arena.set(tensorOf(tensors, `param.${entry.path}`, entry.shape, 'f32', shown).data, entry.offset);
    session.write(name, arena);
  }
}

function tensorOf(tensors: ReadonlyMap<string, NamedTensor>, name: string, shape: readonly number[], element: string, shown: string): NamedTensor {
  const tensor = tensors.get(name);
  const wanted = `${element} [${shape.join(', ')}]`;
  if (tensor === undefined) return fail('SSL5022', { path: shown, tensor: name, expected: wanted, found: 'no such tensor' });
  const kind = tensor.data instanceof Float32Array ? 'f32' : tensor.data instanceof Int32Array ? 'i32' : 'u8';
  const found = `${kind} [${tensor.shape.join(', ')}]`;
  const sameKind = kind === element || (kind === 'i32' && element === 'bool');
  if (!sameKind || tensor.shape.join() !== shape.join()) return fail('SSL5022', { path: shown, tensor: name, expected: wanted, found });
  return tensor;
}

/** Overwrites parameters with given weights: `--params`. Names may be `param.PATH` or `PATH`; what is not given stays; a name that fits nothing is an error. */
export async function writeParameters(session: Session, manifest: Pick<Manifest, 'parameters'>, tensors: ReadonlyMap<string, NamedTensor>, shown: string): Promise<readonly string[]> {
  const bare = new Map([...tensors].map(([name, tensor]) => [name.startsWith('param.') ? name.slice('param.'.length) : name, tensor]));
  const arenas = new Set(manifest.parameters.map((p) => p.arena));
  const known = new Set(manifest.parameters.map((p) => p.path));
  const foreign = [...tensors.keys()].find((n) => n.startsWith('param.') && !known.has(n.slice('param.'.length)));
  if (foreign !== undefined) fail('SSL5022', { path: shown, tensor: foreign, expected: 'a parameter of this model', found: 'no such parameter' });
  if (![...bare.keys()].some((n) => known.has(n))) fail('SSL5022', { path: shown, tensor: manifest.parameters[0]?.path ?? 'parameters', expected: 'parameters of this model', found: 'none of them' });
  for (const arena of arenas) {
    const data = Float32Array.from(await session.readSource(arena));
    for (const entry of manifest.parameters) {
      if (entry.arena === arena && bare.has(entry.path)) data.set(tensorOf(bare, entry.path, entry.shape, 'f32', shown).data, entry.offset);
    }
    session.write(arena, data);
  }
  return [...new Set([...bare.keys()].filter((n) => known.has(n)).map(rootOf))];
}

/** Of a path, the network or parameter of the model that it is in. */
const rootOf = (path: string): string => path.split('.')[0] ?? path;

/**
 * Takes over from another run's checkpoint the nets that go by the same names: their weights and running statistics. What it has
 * under other names is left out; a net that differs inside is an error.
 */
export async function adoptCheckpoint(session: Session, manifest: Pick<Manifest, 'parameters'>, tensors: ReadonlyMap<string, NamedTensor>, shown: string): Promise<readonly string[]> {
  const nets = new Set(manifest.parameters.map((p) => rootOf(p.path)));
  const shared = (prefix: string): (readonly [string, NamedTensor])[] => [...tensors].filter(([name]) => name.startsWith(prefix) && nets.has(rootOf(name.slice(prefix.length))));
  const names = await writeParameters(session, manifest, new Map(shared('param.')), shown);
  for (const [name] of shared('state.')) {
    const slot = session.plan.sources[name];
    if (slot !== undefined) session.write(name, tensorOf(tensors, name, slot.shape, slot.element, shown).data);
  }
  return names;
}
