/** The structure of an objective: where gradients flow, which networks lie behind one another, where examples meet, what targets are made of. */
import type { Application, ObjectivesProgram } from '../lower/collapse-program.js';
import type { Source, Tensor } from '../tensor/program.js';
import { operands, visit } from '../tensor/scalar.js';
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { comparedExamples } from './compared-examples.js';
import type { Comparing } from './compared-examples.js';
import { findCouplings, followExamples } from './coupling.js';
import { dependencyFinder, reachedFrom, readsOfTensor } from './dependencies.js';
import type { Dependencies } from './dependencies.js';

/** What the graph of an objective says beside its value: names of terms. */
export interface Structure {
  /** Terms whose targets are assignments to clusters of the networks' own outputs: a stage makes them, and clusters are not empty. */
  readonly clustered: readonly string[];
  /** Terms whose targets are made of the input, by the objective, by a stage, or by the draws with which views were made of it. */
  readonly reconstructive: readonly string[];
  /** Terms that look at the number of an example. */
  readonly numbered: readonly string[];
  /** Terms in which gradients flow on one side only, and that side has a further network. */
  readonly asymmetric: readonly string[];
  /** Terms with stopped targets in which a moving state, a centring, takes part. */
  readonly centred: readonly string[];
  /** Terms with a stopped target for each example in which the examples of the batch meet. */
  readonly balanced: readonly string[];
  /** Terms that know more than one example: those of the batch meet, or a memory or state holds what earlier ones left. */
  readonly coupled: readonly string[];
  readonly comparing: (term: string) => Comparing;
  /** Outputs of networks that a term depends on. */
  readonly networksOf: (term: string) => readonly TensorId[];
}

export function structureOf(p: ObjectivesProgram): Structure {
  const { tensors } = p.program;
  const find = dependencyFinder(tensors);
  const networks = new Map(p.applications.flatMap((a) => (a.output === null ? [] : [[a.output, a] as const])));
  const depth = depths(p.applications, find);
  const draws = drawFinder(tensors);
  const viewDraws = new Set(p.applications.flatMap((a) => a.inputs.flatMap((i) => [...draws(i)])));
  const { dependence } = followExamples(p);
  const compare = comparedExamples(p);
  const role = (s: TensorId): Source['role'] | null => { const t = tensors[s]; return t.kind === 'source' ? t.role : null; };
  const isState = (s: TensorId): boolean => { const t = tensors[s]; return t.kind === 'source' && t.name.startsWith('state.'); };
  const fromInput = (s: TensorId): boolean => role(s) === 'data' || p.inputs.has(s) || p.precomputed.has(s);
  const numbers = tensors.find((t) => t.kind === 'source' && t.name === 'batch.example')?.id ?? null;
  const facts = p.terms.map((term) => {
    const d = find(term);
    const live = [...d.live].filter((s) => networks.has(s));
    const stopped = [...d.all].filter((s) => networks.has(s) && !d.live.has(s));
    const others = [...d.all].filter((s) => !networks.has(s));
    const deepest = Math.max(0, ...live.map((s) => depth.get(s) ?? 0));
    const shallowest = Math.min(...stopped.map((s) => depth.get(s) ?? 0));
    const reached = reachedFrom(tensors, term);
    const meetings = findCouplings({ ...p, terms: [term] });
    return {
      networks: [...d.all].filter((s) => networks.has(s)),
      clustered: others.some((s) => p.clusterings.has(s)),
      reconstructive: others.some(fromInput) || [...draws(term)].some((x) => viewDraws.has(x)),
      numbered: numbers !== null && [...reached.live, ...reached.stopped].some((id) => { const t = tensors[id]; return t.kind === 'comprehension' && readsOutsideDraws(t.body, numbers); }),
      asymmetric: stopped.length > 0 && deepest > shallowest,
      centred: [...reached.live].some((id) => {
        const target = readsOfTensor(tensors[id]).filter((r) => r.stopped).flatMap((r) => [...find(r.tensor).all]);
        return target.some((s) => networks.has(s) && !d.live.has(s)) && target.some(isState);
      }),
      balanced: [...reached.live].some((id) => {
        const target = readsOfTensor(tensors[id]).filter((r) => r.stopped).map((r) => r.tensor);
        if (!target.some((x) => dependence[x].own !== null)) return false;
        const behind = target.map((x) => reachedFrom(tensors, x));
        return meetings.some((m) => behind.some((r) => r.live.has(m.tensor) || r.stopped.has(m.tensor)));
      }),
      coupled: meetings.length > 0 || others.some((s) => p.memories.has(s)),
      trains: live.length > 0,
    };
  });
  type Fact = Exclude<keyof (typeof facts)[number], 'networks'>;
  const where = (fact: Fact): string[] => p.objectives.filter((_, k) => facts[k].trains && facts[k][fact]).map((o) => o.name);
  const at = (name: string): number => p.objectives.findIndex((o) => o.name === name);
  return {
    clustered: where('clustered'), reconstructive: where('reconstructive'), numbered: where('numbered'), asymmetric: where('asymmetric'),
    centred: where('centred'), balanced: where('balanced'), coupled: where('coupled'),
    comparing: (name) => compare(p.terms[at(name)]),
    networksOf: (name) => facts[at(name)].networks,
  };
}

/** Does a gradient reach anything that is trained: a network, or a weight outside of them? */
export function trainsNothing(p: ObjectivesProgram): boolean {
  const trained = new Set<TensorId | null>([...p.weights, ...p.applications.filter((a) => !a.target).map((a) => a.output)]);
  return p.terms.every((term) => ![...reachedFrom(p.program.tensors, term).live].some((id) => trained.has(id)));
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

/** The sites of the draws behind a tensor that differ from example to example. */
function drawFinder(tensors: readonly Tensor[]): (id: TensorId) => ReadonlySet<number> {
  const memo: ReadonlySet<number>[] = [];
  for (const t of tensors) {
    const sites = new Set<number>();
    if (t.kind === 'comprehension') visit(t.body, (s) => {
      if (s.kind === 'draw' && s.example.kind !== 'const' && s.site.kind === 'const') sites.add(s.site.value);
      if (s.kind === 'read') memo[s.tensor].forEach((x) => sites.add(x));
    });
    else if (t.kind !== 'source') (t.kind === 'window' ? [t.of] : t.kind === 'pack' ? t.parts : t.inputs).forEach((of) => memo[of].forEach((x) => sites.add(x)));
    memo.push(sites);
  }
  return (id) => memo[id];
}

/** Does a scalar read a tensor other than for the key of a draw? */
function readsOutsideDraws(s: Scalar, of: TensorId, seen = new Set<Scalar>()): boolean {
  if (seen.has(s) || s.kind === 'draw') return false;
  seen.add(s);
  return (s.kind === 'read' && s.tensor === of) || operands(s).some((x) => readsOutsideDraws(x, of, seen));
}
