/** `sslc spec`: a model as one self-contained document. */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { readTraining } from '../../compiler/pipeline.js';
import { buildSpec } from '../../compiler/spec/build.js';
import { digestOf, writeSpec } from '../../compiler/spec/document.js';
import { done, type Context, type Outcome } from '../outcome.js';
import { prepare, type ModelChoice, type Prepared } from '../prepare.js';

export interface SpecOptions extends ModelChoice {
  readonly output?: string;
}

/** Writes the spec of a file, or of a spec, which is itself. */
export async function spec(context: Context, file: string, options: SpecOptions): Promise<Outcome> {
  const prepared = prepare(context, file, options);
  const document = specOf(prepared);
  const text = writeSpec(document);
  if (options.output !== undefined) {
    writeFileSync(resolve(context.terminal.directory, options.output), text);
    context.terminal.stderr(`${options.output}: ${digestOf(document)}\n`);
  }
  return done(options.output === undefined ? text : '', { digest: digestOf(document), output: options.output ?? null, modules: Object.keys(document.modules) });
}

/** The spec of what was loaded. */
export function specOf({ project, recording, loaded, set, model }: Prepared): ReturnType<typeof buildSpec> {
  const main = loaded.modules.get(loaded.main)?.module;
  const hasModel = main?.declarations.some((d) => d.kind === 'model' || d.kind === 'train') === true;
  const training = hasModel ? readTraining(loaded, { model, set }) : null;
  return buildSpec({ main: project.main, recording, set, model, training, names: project.canonicalNames(recording.texts.keys()) });
}
