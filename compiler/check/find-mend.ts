/**
 * The smallest change that keeps a model from collapsing. Nothing is suggested that was not tried: each candidate is written into the
 * model's text, read again, and judged like the model was. Candidates, from small to large: the sign of a
 * regularizer, `stop` around one side of a comparison, a predictor on one side, both, or a regularizer of the batch.
 */
import type { Expression, ModelDeclaration } from '../../grammar/ast.js';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import type { LoadedProgram } from '../api.js';
import { selectModel } from '../lower/training-spec.js';
import { decideCollapse } from './collapse.js';
import type { CollapseRequest, CollapseVerdict } from './collapse.js';
import { comparisonsIn } from './compared-sides.js';
import { edited, withMain } from './edited-program.js';
import type { Edit } from './edited-program.js';

interface Candidate {
  /** What to do, in words. */
  readonly words: string;
  readonly edits: readonly Edit[];
}

/** At most this many candidates are tried. */
const most = 24;

/** What to write, in words; a general hint when no candidate helps. */
export function findMend(loaded: LoadedProgram, request: CollapseRequest, verdict: CollapseVerdict): string {
  const { model } = selectModel(loaded, request.model);
  const text = loaded.modules.get(loaded.main)?.source.text ?? '';
  const found = [...turnedSigns(model, verdict), ...candidatesFor(model, text)].slice(0, most).find((c) => helps(loaded, request, text, c));
  return found?.words ?? 'add a regularizer of the batch such as `regularize spread: variance(u)`, or a contrastive energy that compares with other examples';
}

/** A regularizer below zero at the collapsed point most likely has the wrong sign. */
function turnedSigns(model: ModelDeclaration, verdict: CollapseVerdict): Candidate[] {
  const below = new Set(verdict.terms.filter((t) => t.value < 0).map((t) => t.name));
  return model.body.flatMap((s): Candidate[] => (s.kind !== 'objective' || s.role !== 'regularize' || !below.has(s.name.text) ? []
    : [{ edits: wrap(s.value, '-'), words: `turn the sign of \`${s.name.text}\`: as written it pulls the embeddings together` }]));
}

function candidatesFor(model: ModelDeclaration, text: string): Candidate[] {
  const written = (e: Expression): string => text.slice(e.span.start, e.span.end);
  const first = model.body.find((s) => s.kind === 'objective');
  if (first === undefined) return [];
  const net = { at: first.span.start, text: `net ${predictor} = ${predictor}layer\n  ` };
  const single: Candidate[] = [];
  const double: Candidate[] = [];
  const spread: Candidate[] = [];
  for (const s of model.body) {
    if (s.kind !== 'objective') continue;
    const calls = comparisonsIn(s.value);
    if (calls.length === 0) continue;
    const example = calls[0];
    for (const side of [1, 0] as const) {
      const other = side === 1 ? 0 : 1;
      const stops = calls.flatMap((c) => wrap(c.sides[side], 'stop'));
      const predicts = [net, ...calls.flatMap((c) => wrap(c.sides[other], predictor))];
      const stopped = `stop(${written(example.sides[side])})`;
      const predicted = `predictor(${written(example.sides[other])})`;
      const shown = (live: string, fixed: string): string => `\`${side === 1 ? example.show(live, fixed) : example.show(fixed, live)}\``;
      const every = calls.length === 1 ? '' : `, and so in each of the ${calls.length} comparisons of \`${s.name.text}\``;
      single.push(
        { edits: stops, words: `stop the gradient on one side: write ${shown(written(example.sides[other]), stopped)}${every}` },
        { edits: predicts, words: `put a further network, a predictor, on one side: \`net predictor = mlp(...)\`, and write ${shown(predicted, written(example.sides[side]))}${every}` },
      );
      double.push({ edits: [...predicts, ...stops], words: `stop one side and put a predictor on the other: \`net predictor = mlp(...)\`, and write ${shown(predicted, stopped)}${every}` });
    }
    spread.push(kept(s, written(example.sides[0])));
  }
  // What objectives compare may lie in a function: then the model's own values, as far as they have names.
  const named = model.body.flatMap((s) => (s.kind === 'let' ? s.bindings.flatMap((b) => b.names.map((n) => n.text)) : []));
  const last = model.body.filter((s) => s.kind === 'objective').at(-1) ?? first;
  const represented = model.body.flatMap((s) => (s.kind === 'represent' ? [written(s.value)] : []));
  spread.push(...[...named, ...represented].map((u) => kept(last, u)));
  return [...single, ...spread, ...double];
}

/** A regularizer of the batch after a statement. */
const kept = (after: { readonly span: { readonly end: number } }, u: string): Candidate => ({
  edits: [{ at: after.span.end, text: `\n  regularize kept_apart: ${spreadRegularizer}(${u})` }],
  words: `add a regularizer of the batch: \`regularize spread: variance(${u})\` (std.regularizers)`,
});

const wrap = (e: Expression, by: string): Edit[] => [{ at: e.span.start, text: `${by}(` }, { at: e.span.end, text: ')' }];

/** Names for trial, which no file uses. */
const predictor = 'trial_predictor_';
const spreadRegularizer = 'trial_variance_';

/** Declarations that candidates use, so that no import has to be added to try them. */
const helpers = `
layer ${predictor}layer(x: [I]) -> [I] = 2 * x
regularizer ${spreadRegularizer}(z: [B, D]) -> [] {
  deviation[d] = sqrt(var[b](z[b, d]) + 1e-4)
  mean[d](if deviation[d] < 1 { 1 - deviation[d] } else { 0 })
}
`;

function helps(loaded: LoadedProgram, request: CollapseRequest, text: string, candidate: Candidate): boolean {
  return prevents(withMain(loaded, `${edited(text, candidate.edits)}\n${helpers}`), request);
}

function prevents(loaded: LoadedProgram | null, request: CollapseRequest): boolean {
  if (loaded === null) return false;
  try {
    const verdict = decideCollapse(loaded, request);
    return verdict.mechanism !== 'none' && verdict.mechanism !== 'undecided';
  } catch (e) {
    if (e instanceof DiagnosticError) return false;
    throw e;
  }
}
