/** What `sslc check` says of a model, as text and as JSON. */
import type { CountedModel } from '../compiler/api.js';
import type { CollapseVerdict, Mechanism, TrivialLoss, Undecided } from '../compiler/check/collapse.js';
import type { Coupling, ModelDescription } from '../compiler/check/describe-model.js';
import type { Manifest } from '../compiler/plan/manifest.js';
import { costEmbedding } from '../compiler/pipeline.js';
import { reductionText } from '../compiler/check/term-reductions.js';
import type { Json } from './outcome.js';
import { probeJson, probeRows, type NotProbed } from './probe.js';
import type { ProbeResult } from '../runtime/train/probe-spread.js';
import { bigCount, byteCount, grouped } from './table.js';

/** Everything a check found. */
export interface CheckReport {
  readonly counted: CountedModel;
  /** Bytes a step would need beside what is kept if its activations were kept too; null where they are. */
  readonly keptBytes: number | null;
  /** What became of a nearly collapsed start; null when nobody asked. */
  readonly spread: ProbeResult | NotProbed | null;
  readonly verdict: CollapseVerdict | Undecided;
  readonly description: ModelDescription;
}

interface Costs {
  readonly parameters: number;
  readonly flops: number;
  readonly bytes: number;
  readonly launches: number;
  readonly peakBytes: number;
  readonly persistentBytes: number;
}

function costsOf({ manifest, plan }: CountedModel): Costs {
  const chunks = manifest.batch / manifest.chunk;
  const counts = chunks === 1 ? { step: 1 } : { encode: chunks, step: 1, backward: chunks, update: 1 };
  const entries = Object.entries(counts).map(([entry, count]) => ({ ...plan.entries[entry], count }));
  const sum = (of: (l: (typeof entries)[number]['launches'][number]) => number): number => entries.reduce((total, e) => total + e.count * e.launches.reduce((t, l) => t + of(l), 0), 0);
  return {
    parameters: manifest.parameters.filter((p) => !p.arena.startsWith('target.')).reduce((total, p) => total + p.shape.reduce((a, b) => a * b, 1), 0),
    flops: sum((l) => l.cost.flops),
    bytes: sum((l) => l.cost.bytesRead + l.cost.bytesWritten),
    launches: sum(() => 1),
    peakBytes: Math.max(...entries.map((e) => e.peakBytes)),
    persistentBytes: plan.arenas.filter((a) => a.persistent).reduce((total, a) => total + a.bytes, 0),
  };
}

/** For people: a row for each thing known. */
export function checkText({ counted, keptBytes, spread, verdict, description }: CheckReport): string {
  const { manifest } = counted;
  const costs = costsOf(counted);
  const settings = Object.entries(manifest.settings).map(([name, value]) => `${name}=${value}`).join(' ');
  const own = manifest.parameters.filter((p) => !p.arena.startsWith('target.'));
  const embedding = costEmbedding(counted.programs['embed'], manifest.embedBatch);
  const rows = [
    ['model', `${manifest.model}${settings === '' ? '' : ` (${settings})`}`],
    ...manifest.inputs.map((i) => ['input', `${i.name}: ${i.element}[${i.shape.join(', ')}], batch ${manifest.batch}`]),
    ...(manifest.chunk < manifest.batch ? [['in chunks', `of ${manifest.chunk} examples: encode ${times(manifest.batch / manifest.chunk)}, step, backward ${times(manifest.batch / manifest.chunk)}, update`]] : []),
    ...manifest.targets.map((t) => ['target', `${t.name} follows ${t.of}, ${t.when} each step; running statistics ${buffersIn[t.buffers]}`]),
    ...manifest.stages.map((stage) => ['stage', stageText(manifest, stage)]),
    ...tablesIn(counted, description).map((t) => ['table', `${t.name}: ${t.element}[${t.shape.join(', ')}], ${t.leftBy.length === 0 ? 'as it begins: no stage writes it' : `left by stage ${t.leftBy.join(', ')}`}`]),
    ...description.latents.map((l) => ['latent', `${l.name}: ${l.type}, ${latentText(l)}`]),
    ...manifest.objectives.map((o, k) => [o.role, `${o.name}: ${reductionText(description.terms[k])}`]),
    ...collapseRows(verdict),
    ...(spread === null ? [] : probeRows(spread)),
    ['couples', description.couplings.length === 0 ? 'nothing: examples meet only in sums and means' : description.couplings.map(couplingText).join(', ')],
    ...(description.memories.length === 0 ? [] : [['remembers', `${description.memories.join(', ')}: examples of earlier batches`]]),
    ['represent', `${manifest.embeddingSize} numbers an example, with ${bigCount(embedding.multiplyAdds)}MAC, ${bigCount(embedding.flops)}FLOP`],
    ...description.networks.map((n) => ['network', `${n.name}: ${grouped(n.parameters)} parameters; one example forward ${bigCount(n.multiplyAdds)}MAC, ${bigCount(n.flops)}FLOP; applied ${n.applications === 0 ? 'by a stage only' : times(n.applications)}`]),
    ...policyTexts(description.batchPolicies, manifest.chunk).map((text) => ['batches', text]),
    ['parameters', `${grouped(costs.parameters)} in ${own.length} tensors`],
    ['a step', `${costs.launches} launches, ${bigCount(costs.flops)}FLOP, ${byteCount(costs.bytes)} moved`],
    ['memory', `${byteCount(costs.persistentBytes)} kept, ${byteCount(costs.peakBytes)} more during a step${keptBytes === null ? '' : `, its activations computed again (kept, they would take ${byteCount(keptBytes)})`}`],
  ];
  const width = Math.max(...rows.map(([key]) => key.length));
  return rows.map(([key, text]) => `  ${key.padEnd(width)}  ${text}\n`).join('');
}

/** `batch_norm of f, g sees 128 examples of one view at a time`. */
function policyTexts(policies: ModelDescription['batchPolicies'], examples: number): readonly string[] {
  const networks = new Map<string, string[]>();
  for (const { network, layers, together } of policies) {
    const text = `${layers.length === 1 ? 'sees' : 'see'} ${grouped(examples)} examples of ${together === 1 ? 'one view' : `${together} views together`} at a time`;
    const key = `${layers.join(', ')} of NETWORKS ${text}`;
    networks.set(key, [...(networks.get(key) ?? []), network]);
  }
  return [...networks].map(([key, names]) => key.replace('NETWORKS', names.join(', ')));
}

type Stage = Manifest['stages'][number];

/** When a stage runs and what it leaves. */
function stageText(manifest: Manifest, { name, period, passes, writes, resets }: Stage): string {
  const when = period === null ? 'once, before the first step' : `before the first step and every ${period.count === 1 ? '' : `${period.count} `}${period.count === 1 ? period.unit.slice(0, -1) : period.unit}`;
  const through = passes.length === 0 ? '' : `, ${passes.length === 1 ? 'a pass' : `${passes.length} passes`} over the training set`;
  const leaves = [...writes.map((w) => `${w.name} [${shapeOf(manifest, w).join(', ')}]`), ...resets.map((r) => `${r} drawn anew`)];
  return `${name}: ${when}${through}; leaves ${leaves.join(', ') || 'nothing'}`;
}

function shapeOf({ states, parameters }: Manifest, { name, source }: Stage['writes'][number]): readonly number[] {
  const found = parameters.find((p) => p.arena === source && p.path === name) ?? states.find((s) => s.name === source);
  return found?.shape ?? [];
}

/** Tables with their sizes, and the stages that write them. */
function tablesIn({ manifest }: CountedModel, description: ModelDescription): { name: string; element: string; shape: readonly number[]; leftBy: readonly string[] }[] {
  return description.tables.map((t) => ({
    ...t, shape: manifest.states.find((s) => s.name === `table.${t.name}`)?.shape ?? [],
    leftBy: manifest.stages.flatMap((stage) => (stage.writes.some((w) => w.name === t.name) ? [stage.name] : [])),
  }));
}

/** How a latent variable is inferred. */
function latentText({ energy, how, text, within }: ModelDescription['latents'][number]): string {
  const inferred = how === 'descent' ? `descent of ${energy}, ${text}` : how === 'enumeration' ? `every value of ${text} tried, the one of least ${energy}` : `least ${energy} ${text}`;
  return within === null ? `${inferred}; for each example, with no gradient through it` : `${inferred}; in ${within}`;
}

const buffersIn = { own: 'from its own passes', copy: 'copied', ema: 'averaged' } as const;
const times = (n: number): string => (n === 1 ? 'once' : n === 2 ? 'twice' : `${n} times`);
const couplingText = (c: Coupling): string => `${c.name}${c.count === 1 ? '' : ` x ${c.count}`} (${c.line})`;

const mechanismText: Record<Exclude<Mechanism, 'none'>, string> = {
  contrastive: 'examples are told apart',
  regularized: 'statistics of the batch are held up',
  clustered: 'targets made of the embeddings are balanced',
  reconstructive: 'embeddings must tell something of the input',
  asymmetric: 'one side is stopped, the other goes further; the loss alone would allow it',
};

/** The verdict, what carries it, and the loss where every embedding is the same. */
function collapseRows(v: CollapseVerdict | Undecided): string[][] {
  if (v.mechanism === 'undecided') return [['collapse', `not decided: ${v.reason}`]];
  if (v.mechanism === 'none') return [['collapse', 'nothing prevents it']];
  const standIn = Object.entries(v.standIn).map(([name, value]) => `${name}=${value}`).join(' ');
  return [
    ['collapse', `prevented, ${v.mechanism}: ${mechanismText[v.mechanism]} (${v.carriedBy.join(', ')})`],
    ...(v.dimensional ? [['', 'not prevented: collapse onto few dimensions']] : []),
    ['trivial', `with every embedding equal the loss is ${valueText(v.trivial)}${v.terms.length < 2 ? '' : `: ${v.terms.map((t) => `${t.name} ${valueText(t)}`).join(', ')}`}`],
    ...(standIn === '' ? [] : [['', `decided with ${standIn}: as asked for, the objective is too large to evaluate here`]]),
  ];
}

function valueText({ value, formula }: TrivialLoss): string {
  if (!Number.isFinite(value)) return 'not a number';
  const rounded = Number(value.toFixed(4));
  return `${formula === null ? '' : `${formula} = `}${rounded === 0 ? 0 : rounded}`;
}

/** For programs (docs/json.md). */
export function checkJson({ counted, keptBytes, spread, verdict, description }: CheckReport): { readonly [key: string]: Json } {
  const { manifest } = counted;
  return {
    model: manifest.model,
    shapes: true,
    settings: { ...manifest.settings },
    inputs: manifest.inputs.map((i) => ({ ...i })),
    targets: manifest.targets.map((t) => ({ ...t })),
    stages: manifest.stages.map((stage) => ({
      name: stage.name, period: stage.period === null ? null : { ...stage.period }, passes: stage.passes.length,
      writes: stage.writes.map((w) => ({ name: w.name, shape: shapeOf(manifest, w) })), resets: stage.resets,
    })),
    tables: tablesIn(counted, description).map((t) => ({ ...t })),
    latents: description.latents.map((l) => ({ ...l })),
    objectives: manifest.objectives.map((o, k) => ({ ...o, reduction: reductionJson(description.terms[k]) })),
    collapse: collapseJson(verdict),
    probe: spread === null ? null : probeJson(spread),
    couplings: description.couplings.map((c) => ({ ...c })),
    memories: description.memories,
    networks: description.networks.map((n) => ({ ...n })),
    batchPolicies: description.batchPolicies.map((p) => ({ ...p, layers: [...p.layers] })),
    parameters: manifest.parameters.map((p) => ({ path: p.path, arena: p.arena, shape: p.shape })),
    batch: manifest.batch,
    embeddingSize: manifest.embeddingSize,
    embedding: { ...costEmbedding(counted.programs['embed'], manifest.embedBatch) },
    costs: { ...costsOf(counted), keptBytes },
  };
}

function reductionJson(term: ModelDescription['terms'][number]): Json {
  return {
    text: reductionText(term),
    constant: term.constant,
    parts: term.parts.map((p) => ({ weight: p.weight, scaledBy: p.scaledBy, times: p.times, over: p.over.map((o) => ({ how: o.how, axes: o.axes.map((a) => ({ ...a })) })) })),
  };
}

function collapseJson(v: CollapseVerdict | Undecided): Json {
  if (v.mechanism === 'undecided') return { mechanism: 'undecided', reason: v.reason };
  return {
    mechanism: v.mechanism, carriedBy: v.carriedBy, trivial: trivialJson(v.trivial), terms: v.terms.map((t) => ({ name: t.name, ...trivialJson(t) })),
    dimensional: v.dimensional, unfilled: v.unfilled === null ? null : { ...v.unfilled }, standIn: { ...v.standIn },
  };
}

const trivialJson = ({ value, formula, exact }: TrivialLoss): { readonly [key: string]: Json } => ({ value: Number.isFinite(value) ? value : null, formula, exact });
