/** Skip-gram with negative sampling (Mikolov et al., 2013), as in the language's description, with words given as numbers. */
import { load } from './harness.js';
import { DiagnosticError } from '../../grammar/diagnostics/report.js';
import type { CompileTrainingOptions, LoadedProgram, TargetOptions } from '../../compiler/api.js';

export const vocabulary = 12;
export const width = 3;
export const batch = 4;
/** Pairs with words that occur several times in a batch, and words that never do. */
export const words = [1, 4, 1, 7, 4, 4, 0, 1, 9, 7, 7, 7];
export const contexts = [2, 2, 5, 1, 1, 5, 5, 2, 3, 4, 1, 2];
export const steps = words.length / batch;

/** `more` stands in the model, `block` in its train block. */
export const skipgram = (block: string, uses: string, more = ''): string => `
use std.optimizers { ${uses} }
use std.schedules { linear, after }
use std.layers { linear as dense }
model skipgram(width: int = ${width}, negatives: int = 2, vocabulary: int = ${vocabulary}) {
  input word: int, context: int
  param inside: [vocabulary, width] ~ uniform(-0.5, 0.5)
  param outside: [vocabulary, width] ~ uniform(-0.5, 0.5)
  let noise[n: negatives] ~ int_uniform(vocabulary)
  energy pair(w: int, c: int) = -sum[d](inside[w, d] * outside[c, d])
  minimize attract: softplus(pair(word, context))
  minimize repel: sum[n](softplus(-pair(word, noise[n])))
  ${more}
  represent inside[word]
}
train skipgram { batch ${batch}
  ${block}
}`;

const input = (name: string) => ({ name, element: 'i32', shape: [] }) as const;

/** A text of two such inputs, and what compiles it. */
export function training(text: string, target: TargetOptions, set: Readonly<Record<string, string>> = {}, examples = words.length): { readonly loaded: LoadedProgram; readonly options: CompileTrainingOptions } {
  const loaded = load(text);
  if (loaded.diagnostics.length > 0) throw new DiagnosticError(loaded.diagnostics);
  return { loaded, options: { model: null, set, steps, resident: true, embedBatch: 1, target, data: { examples, classes: null, inputs: [input('word'), input('context')] } } };
}
