/**
 * What `sslc check` says of a model beside its shapes: what keeps it from collapsing, how its terms are reduced and weighted, which
 * operations couple the examples of a batch, and what its networks hold and do.
 */
import type { Diagnostic } from '../../grammar/diagnostics/diagnostic.js';
import type { LoadedProgram } from '../api.js';
import { elaborateObjectives } from '../lower/collapse-program.js';
import type { ObjectivesProgram } from '../lower/collapse-program.js';
import { readTraining, selectModel } from '../lower/training-spec.js';
import { diagnostic } from '../../grammar/diagnostics/report.js';
import { collapseDiagnostics } from './collapse-diagnostics.js';
import { trainsNothing } from './collapse-structure.js';
import { decideCollapse } from './collapse.js';
import type { CollapseRequest, CollapseVerdict, Undecided } from './collapse.js';
import { batchPolicies } from './batch-policies.js';
import type { BatchPolicy } from './batch-policies.js';
import { findCouplings } from './coupling.js';
import type { CouplingPoint } from './coupling.js';
import { dependencyFinder } from './dependencies.js';
import { findMend } from './find-mend.js';
import { latentsOf, tablesOf } from './model-parts.js';
import type { LatentPart, TablePart } from './model-parts.js';
import { costNetworks } from './network-costs.js';
import type { NetworkCost } from './network-costs.js';
import { describeReductions } from './term-reductions.js';
import type { TermReduction } from './term-reductions.js';

/** Options of a check: which model, with which settings, on what data. */
export type DescribeOptions = Omit<CollapseRequest, 'batch'>;

/** Operations of one place that couple the examples of a batch. */
export interface Coupling {
  /** The function it stands in, as declared: `batch_norm`, `nt_xent`; the model's name for its own lines. */
  readonly name: string;
  /** `layers.ssl:31`. */
  readonly line: string;
  /** In how many places of one pass: 7 batch norms of a network are 7, however many views go through it. */
  readonly count: number;
}

export interface ModelDescription {
  readonly terms: readonly (TermReduction & { readonly name: string })[];
  readonly couplings: readonly Coupling[];
  /** Memories and states that the objective reads: they couple examples across steps. */
  readonly memories: readonly string[];
  readonly tables: readonly TablePart[];
  readonly latents: readonly LatentPart[];
  readonly networks: readonly NetworkCost[];
  /** Networks with layers that look at the batch, and what these see. */
  readonly batchPolicies: readonly BatchPolicy[];
}

/** The verdict on collapse, with the error or warnings it calls for. */
export function checkCollapse(loaded: LoadedProgram, options: DescribeOptions): { readonly verdict: CollapseVerdict | Undecided; readonly diagnostics: readonly Diagnostic[] } {
  const { model } = selectModel(loaded, options.model);
  const request = requestOf(loaded, options);
  const verdict = decideCollapse(loaded, request);
  if (trainsNothing(elaborateObjectives(loaded, request, 2, 'replaced'))) return { verdict, diagnostics: [diagnostic('SSL3021', model.name.span, { model: model.name.text })] };
  const diagnostics = verdict.mechanism === 'undecided' ? []
    : collapseDiagnostics(verdict, model.name.text, model.name.span, request.batch, () => findMend(loaded, request, verdict));
  return { verdict, diagnostics };
}

/** Reductions, couplings and costs, from the graph of the objectives at the batch of the training. */
export function describeModel(loaded: LoadedProgram, options: DescribeOptions, lineOf: (span: { file: string; start: number; end: number }) => string): ModelDescription {
  const request = requestOf(loaded, options);
  const { model } = selectModel(loaded, options.model);
  const replaced = elaborateObjectives(loaded, request, request.batch, 'replaced');
  const kept = elaborateObjectives(loaded, request, request.batch, 'kept');
  const points = findCouplings(kept);
  return {
    terms: describeReductions(replaced).map((r, k) => ({ name: replaced.objectives[k].name, ...r })),
    couplings: groupCouplings(loaded, kept, points, lineOf),
    memories: memoriesOf(replaced),
    tables: tablesOf(model),
    latents: latentsOf(model, loaded.modules.get(model.span.file)?.source.text ?? ''),
    networks: costNetworks(kept),
    batchPolicies: batchPolicies(kept, points, (point) => functionOf(loaded, point)),
  };
}

function requestOf(loaded: LoadedProgram, options: DescribeOptions): CollapseRequest {
  return { ...options, batch: Math.min(readTraining(loaded, options).batch, options.data.examples) };
}

function groupCouplings(loaded: LoadedProgram, p: ObjectivesProgram, points: readonly CouplingPoint[], lineOf: (span: { file: string; start: number; end: number }) => string): Coupling[] {
  const repeated = laterApplications(p);
  const groups = new Map<string, { name: string; line: string; places: Map<string, number> }>();
  for (const point of points) {
    if (point.span === null || repeated.some((a) => point.tensor >= a.from && point.tensor < a.to)) continue;
    const { file, start } = point.span;
    const name = functionOf(loaded, point);
    const key = `${file} ${name}`;
    const group = groups.get(key) ?? { name, line: lineOf(point.span), places: new Map<string, number>() };
    const place = `${start} ${point.name}`;
    group.places.set(place, (group.places.get(place) ?? 0) + 1);
    groups.set(key, group);
  }
  return [...groups.values()].map(({ name, line, places }) => ({ name, line, count: [...places.values()][0] ?? 1 }));
}

/** The function that a coupling stands in, as declared; the tensor's name where there is none. */
function functionOf(loaded: LoadedProgram, { span, name }: CouplingPoint): string {
  if (span === null) return name;
  const declaration = loaded.modules.get(span.file)?.module.declarations.find((d) => d.span.start <= span.start && span.start < d.span.end);
  return declaration === undefined || declaration.kind === 'train' ? name : declaration.name.text;
}

/** Applications of a network beyond its first: the same operations, on another view. */
function laterApplications(p: ObjectivesProgram): ObjectivesProgram['applications'] {
  const seen = new Set<string>();
  return p.applications.filter((a) => { const again = seen.has(a.name); seen.add(a.name); return again; });
}

function memoriesOf(p: ObjectivesProgram): string[] {
  const find = dependencyFinder(p.program.tensors);
  const reached = new Set(p.terms.flatMap((t) => [...find(t).all]));
  return p.program.tensors.flatMap((t) => (t.kind === 'source' && t.role === 'state' && !t.name.startsWith('table.') && reached.has(t.id) ? [t.name.replace(/^(memory|state)\./, '')] : []));
}
