/**
 * A model rewritten to start nearly collapsed, so that a few steps of training show whether its embeddings leave that point. Each
 * network that the objective compares is followed by a trained scale, small, and a fixed random vector: scaling the weights of the
 * network would do nothing where it ends in a norm. The train block is replaced: a plain optimizer at a fixed rate, a small batch.
 */
import { dependencyFinder } from './dependencies.js';
import type { LoadedProgram } from '../api.js';
import { elaborateObjectives } from '../lower/collapse-program.js';
import type { ObjectivesRequest } from '../lower/collapse-program.js';
import { readTraining, selectModel } from '../lower/training-spec.js';
import { edited, withMain } from './edited-program.js';
import type { Edit } from './edited-program.js';

export interface NearlyCollapsed {
  readonly loaded: LoadedProgram;
  /** Of the overrides, those that are still meant: the model's settings. */
  readonly set: Readonly<Record<string, string>>;
  /** The networks that start nearly collapsed, and for each the state in which a step leaves the spread of its embeddings. */
  readonly networks: readonly { readonly name: string; readonly state: string }[];
}

/** Null where the objective compares no network's outputs. */
export function nearlyCollapsed(loaded: LoadedProgram, request: ObjectivesRequest, batch: number): NearlyCollapsed | null {
  const { model, train } = selectModel(loaded, request.model);
  const text = loaded.modules.get(loaded.main)?.source.text ?? '';
  const names = comparedNetworks(loaded, request, batch);
  const networks: { name: string; state: string }[] = [];
  const edits: Edit[] = [];
  for (const s of model.body) {
    if (s.kind !== 'net' || !names.has(s.name.text)) continue;
    edits.push({ at: s.value.span.end, text: ` |> ${layer}` });
    networks.push({ name: s.name.text, state: `state.${s.name.text}.${layer}.spread` });
  }
  if (networks.length === 0) return null;
  const given = train === null || train.arguments.length === 0 ? '' : `(${text.slice(train.arguments[0].span.start, train.arguments.at(-1)?.span.end)})`;
  const block = `train ${model.name.text}${given} {\n  batch ${batch}\n  epochs 1\n  optimizer ${optimizer}()\n}\n`;
  edits.push(train === null ? { at: text.length, text: `\n${block}` } : { at: train.span.start, until: train.span.end, text: block });
  const changed = withMain(loaded, `${edited(text, edits)}\n${helpers}`);
  const settings = readTraining(loaded, request).settings;
  return changed === null ? null : { loaded: changed, set: Object.fromEntries(Object.entries(request.set).filter(([name]) => name in settings)), networks };
}

/** Networks whose outputs a term reads other than through a further network, less those that only predict such outputs. */
function comparedNetworks(loaded: LoadedProgram, request: ObjectivesRequest, batch: number): ReadonlySet<string> {
  const p = elaborateObjectives(loaded, request, batch, 'replaced');
  const find = dependencyFinder(p.program.tensors);
  const applied = p.applications.flatMap((a) => (a.output === null ? [] : [{ ...a, output: a.output }]));
  const read = new Set(p.terms.flatMap((t) => [...find(t).all]));
  const direct = new Set(applied.flatMap((a) => (read.has(a.output) ? [a.of] : [])));
  const outputs = (of: string): Set<number> => new Set(applied.flatMap((a) => (direct.has(a.of) && a.of !== of ? [a.output] : [])));
  const first = [...direct].filter((name) => {
    const others = outputs(name);
    return !applied.some((a) => a.of === name && a.inputs.some((i) => [...find(i).all].some((s) => others.has(s))));
  });
  return first.length > 0 ? new Set(first) : direct;
}

/** Names which no file uses. */
const layer = 'probe_start_';
const optimizer = 'probe_descent_';

/**
 * The start: outputs brought to mean 0 and deviation 1 by what the first batch shows, times a scale of 0.2, plus a fixed vector of
 * unit deviation: a spread of about 0.2, whatever the width. The spread is the standard deviation of directions: 0 where all are the
 * same, 1 where they have no mean.
 * Descent is Adam at one rate for every model, without decay, so that answers do not hang on a warm-up.
 */
const helpers = `
layer ${layer}(x: [*S, C]) -> [*S, C] {
  param scale: [C] = 0.2
  param place: [C] ~ normal(0, 1)
  state centre: [C] = 0
  state size: [] = 0
  state spread: [] = 0
  if training {
    let c = if size > 0 { centre } else { mean[*S](x) }
    let s = if size > 0 { size } else { sqrt(mean[k: C](var[*S](x)[k]) + 1e-12) }
    update centre <- stop(c)
    update size <- stop(s)
    let y = scale * (x - stop(c)) / stop(s) + stop(place)
    let direction = normalize(y)
    update spread <- stop(sqrt(sum[k: C](var[*S](direction)[k])))
    y
  } else {
    scale * (x - centre) / (if size > 0 { size } else { 1 }) + place
  }
}
optimizer ${optimizer}(rate: float = 0.002)(w: [*S], g: [*S]) -> [*S] {
  state m: [*S] = 0
  state v: [*S] = 0
  let first = 0.9 * m + 0.1 * g
  let second = 0.999 * v + 0.001 * g^2
  update m <- first
  update v <- second
  w - rate * (first / (1 - 0.9^(step + 1))) / (sqrt(second / (1 - 0.999^(step + 1))) + 1e-8)
}
`;
