/** The structure of an objective: where gradients flow, which networks lie behind one another, and what is compared with the input. */
import type { Application, ObjectivesProgram } from '../lower/collapse-program.js';
import type { Objective } from '../lower/model.js';
import type { Source } from '../tensor/program.js';
import type { TensorId } from '../tensor/scalar.js';
import { dependencyFinder } from './dependencies.js';
import type { Dependencies } from './dependencies.js';

/** What the graph of an objective says where its value is indifferent. */
export interface Structure {
  /** Terms whose targets are assignments to clusters of the networks' own outputs: a stage makes them, and clusters are not empty. */
  readonly clustered: readonly string[];
  readonly reconstructive: readonly string[];
  readonly asymmetric: readonly string[];
  /** Those of them in which a moving state, a centring, takes part. */
  readonly centred: readonly string[];
  /** Terms with a stopped side but nothing beyond it on the other; terms with a further network on one side but no stop. */
  readonly oneSided: readonly string[];
  readonly deeper: readonly string[];
  /** Terms whose stopped targets are outputs of the networks that are trained. */
  readonly selfTargets: readonly string[];
  /** Outputs of networks that a term depends on. */
  readonly networksOf: (term: string) => readonly TensorId[];
}

export function structureOf(p: ObjectivesProgram): Structure {
  const find = dependencyFinder(p.program.tensors);
  const networks = new Map(p.applications.flatMap((a) => (a.output === null ? [] : [[a.output, a] as const])));
  const depth = depths(p.applications, find);
  const result = { clustered: new Array<string>(), reconstructive: new Array<string>(), asymmetric: new Array<string>(), centred: new Array<string>(), oneSided: new Array<string>(), deeper: new Array<string>(), selfTargets: new Array<string>() };
  p.objectives.forEach((o: Objective, k) => {
    const d = find(p.terms[k]);
    const live = [...d.live].filter((s) => networks.has(s));
    const stopped = [...d.all].filter((s) => networks.has(s) && !d.live.has(s));
    const role = (s: TensorId): Source['role'] | null => { const t = p.program.tensors[s]; return t.kind === 'source' ? t.role : null; };
    if (live.length > 0 && [...d.all].some((s) => !networks.has(s) && (role(s) === 'data' || (role(s) === 'batch' && p.inputs.has(s))))) result.reconstructive.push(o.name);
    if (live.length > 0 && [...d.all].some((s) => p.clusterings.has(s))) result.clustered.push(o.name);
    const deepest = Math.max(0, ...live.map((s) => depth.get(s) ?? 0));
    const shallowest = Math.min(...stopped.map((s) => depth.get(s) ?? 0));
    const centred = [...d.all].some((s) => role(s) === 'state' && !d.live.has(s));
    if (live.length > 0 && stopped.length > 0 && centred) result.centred.push(o.name);
    const ownTargets = [...d.stopped].filter((s) => networks.get(s)?.target === false);
    if (live.length > 0 && stopped.length > 0 && (deepest > shallowest || centred)) result.asymmetric.push(o.name);
    else if (live.length > 0 && (stopped.length > 0 || ownTargets.length > 0)) result.oneSided.push(o.name);
    if (stopped.length === 0 && live.some((s) => (depth.get(s) ?? 0) < deepest)) result.deeper.push(o.name);
    if (live.length > 0 && ownTargets.length > 0) result.selfTargets.push(o.name);
  });
  const networksOf = (term: string): TensorId[] => p.objectives.flatMap((o, k) => (o.name === term ? [...find(p.terms[k]).all].filter((s) => networks.has(s)) : []));
  return { ...result, networksOf };
}

/** How many networks lie one behind the other up to each application. */
function depths(applications: readonly Application[], find: (id: TensorId) => Dependencies): Map<TensorId, number> {
  const depth = new Map<TensorId, number>();
  for (const a of applications) {
    const before = a.inputs.flatMap((i) => [...find(i).all]).map((s) => depth.get(s) ?? 0);
    if (a.output !== null) depth.set(a.output, 1 + Math.max(0, ...before));
  }
  return depth;
}
