/** Sizes for axes that nothing gives a size: enough to find shapes that do not fit, never a claim about the user's data. */
import type { Expression, ModelDeclaration } from '../../grammar/ast.js';
import type { LoadedProgram } from '../api.js';
import type { ModelInput } from '../plan/manifest.js';

type Sizes = Readonly<Record<string, number>>;

/** Sizes of axis names met in practice; others get the next unused number. Images are square and large enough for strides. */
export const usualSizes: Sizes = { H: 16, W: 16, C: 3, B: 6, D: 5, K: 7, N: 9, T: 11, V: 13 };

/** For a whole model: small grey pictures, which every bundled network takes. */
const modelSizes: Sizes = { ...usualSizes, H: 28, W: 28, C: 1 };

/** The size to assume for `e`, an axis name or a number; null for anything else. The same name gets the same size: `seen` remembers. */
export function sampleSize(e: Expression, usual: Sizes, seen: Map<string, number>, setting: (name: string) => number | null): number | null {
  if (e.kind === 'number') return e.value;
  if (e.kind !== 'name') return null;
  const given = setting(e.name);
  if (given !== null) return given;
  const known = seen.get(e.name) ?? (Object.hasOwn(usual, e.name) ? usual[e.name] : undefined);
  const size = known ?? 17 + 2 * seen.size;
  seen.set(e.name, size);
  return size;
}

/** Inputs to check a model with when it has no data; null when one has a type whose sizes cannot be assumed. */
export function sampleInputs(loaded: LoadedProgram, name: string, settings: Readonly<Record<string, number | boolean | string>>): readonly ModelInput[] | null {
  const model = findModel(loaded, name);
  if (model === null) return null;
  const seen = new Map<string, number>();
  const setting = (key: string): number | null => (typeof settings[key] === 'number' ? settings[key] : null);
  const inputs: ModelInput[] = [];
  for (const input of model.body.flatMap((s) => (s.kind === 'input' ? [...s.inputs] : []))) {
    const { type } = input;
    if (type.kind === 'namedType' && type.name === 'example') continue;
    if (type.kind !== 'tensorType') return null;
    const shape: number[] = [];
    for (const d of type.dimensions) {
      const size = d.kind === 'rest' ? null : sampleSize(d.size, modelSizes, seen, setting);
      if (size === null) return null;
      shape.push(size);
    }
    inputs.push({ name: input.name.text, element: type.element === 'int' ? 'i32' : type.element, shape });
  }
  return inputs;
}

function findModel(loaded: LoadedProgram, name: string): ModelDeclaration | null {
  const main = loaded.modules.get(loaded.main);
  for (const { module } of main === undefined ? [] : [main, ...loaded.modules.values()]) {
    for (const d of module.declarations) if (d.kind === 'model' && d.name.text === name) return d;
  }
  return null;
}

/** Functions of the main module that the model (and what it calls) mentions: elaborating the model checks these. */
export function functionsOf(loaded: LoadedProgram, name: string): ReadonlySet<string> {
  const declarations = loaded.modules.get(loaded.main)?.module.declarations ?? [];
  const functions = new Map(declarations.flatMap((d) => (d.kind === 'function' ? [[d.name.text, d] as const] : [])));
  const reached = new Set<string>();
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) return node.forEach(visit);
    if (typeof node !== 'object' || node === null) return;
    if ('kind' in node && node.kind === 'name' && 'name' in node && typeof node.name === 'string') {
      const called = functions.get(node.name);
      if (called !== undefined && !reached.has(node.name)) {
        reached.add(node.name);
        visit(called);
      }
    }
    Object.values(node).forEach(visit);
  };
  for (const d of declarations) {
    if (d.kind === 'train' ? d.model.text === name : d.kind === 'model' && d.name.text === name) visit(d);
  }
  return reached;
}
