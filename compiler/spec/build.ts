/** Makes the spec of a program from what its reader was asked and from its overrides. */
import type { JsonValue } from './canonical.js';
import { languageVersion, type SpecDocument } from './document.js';
import { recordedModules, type Recording } from './reader.js';
import type { TrainingSpec } from '../api.js';
import { bug } from '../../grammar/diagnostics/report.js';

export interface SpecParts {
  readonly main: string;
  readonly recording: Recording;
  readonly set: Readonly<Record<string, string>>;
  readonly model: string | null;
  /** null when the file has no model. */
  readonly training: TrainingSpec | null;
  /** A name for each path that does not depend on where the project lies. */
  readonly names: ReadonlyMap<string, string>;
}

/** The spec of these parts; `writeSpec` gives its text. */
export function buildSpec({ main, recording, set, model, training, names }: SpecParts): SpecDocument {
  const rename = (path: string): string => names.get(path) ?? bug(`no name for ${path}`);
  const { modules, library } = recordedModules(recording, rename);
  return {
    format: 'sslc-spec',
    version: 1,
    language: languageVersion,
    main: rename(main),
    library,
    modules,
    ...(Object.keys(set).length === 0 ? {} : { set }),
    ...(model === null ? {} : { model }),
    training: training === null ? null : plain(training),
  };
}

/** The train block as plain JSON. */
function plain({ model, settings, data, batch, epochs, steps, seed, every }: TrainingSpec): JsonValue {
  return {
    model, batch, epochs, steps, seed,
    settings: { ...settings },
    data: data === null ? null : { kind: data.kind, arguments: { ...data.arguments } },
    every: every.map(({ period, actions }) => ({ period: { ...period }, actions: actions.map((a) => ({ name: a.name, arguments: { ...a.arguments } })) })),
  };
}
