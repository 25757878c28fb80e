/** SSL5: data, checkpoints, devices and running. */
import { entry } from '../diagnostic.js';

const collapseHelp = (checkpoint: string | null): string =>
  `${checkpoint === null ? 'no checkpoint before it is healthy' : `the last healthy checkpoint is ${checkpoint}`}; a lower rate, or more weight on what keeps embeddings apart, often helps`;

export const runningCodes = {
  SSL5001: entry<{ path: string; problem: string; help: string | null }>({
    severity: 'error',
    title: (a) => `${a.path}: ${a.problem}`,
    help: (a) => a.help,
  }),
  SSL5002: entry<{ kind: string; known: readonly string[]; suggestion: string | null }>({
    severity: 'error',
    title: (a) => `no kind of data is called \`${a.kind}\``,
    help: (a) => (a.suggestion !== null ? `did you mean \`${a.suggestion}\`?` : `known kinds: ${a.known.join(', ')}`),
  }),
  SSL5003: entry<{ kind: string; argument: string; known: readonly string[]; suggestion: string | null }>({
    severity: 'error',
    title: (a) => `data \`${a.kind}\` takes no argument \`${a.argument}\``,
    help: (a) => (a.suggestion !== null ? `did you mean \`${a.suggestion}\`?` : `it takes: ${a.known.join(', ')}`),
  }),
  SSL5004: entry<{ kind: string; argument: string; expected: string; found: string | null }>({
    severity: 'error',
    title: (a) => (a.found === null ? `data \`${a.kind}\` needs \`${a.argument}\`: ${a.expected}` : `expected ${a.expected} for \`${a.argument}\` of data \`${a.kind}\`, found ${a.found}`),
  }),
  SSL5005: entry<{ path: string; what: string }>({
    severity: 'error',
    title: (a) => `${a.path}: expected ${a.what}, found nothing there`,
    help: () => 'paths are relative to the file that names them; check the spelling',
  }),
  SSL5006: entry<{ path: string }>({
    severity: 'error',
    title: (a) => `${a.path} leaves the project`,
    help: () => 'data of a shared spec must lie in or below the folder it is run from',
  }),
  SSL5010: entry<{ path: string; expected: number; found: number }>({
    severity: 'error',
    title: (a) => `${a.path} is cut short: expected ${a.expected} bytes, found ${a.found}`,
    help: () => 'the file was probably not copied or downloaded to its end; fetch it again',
  }),
  SSL5011: entry<{ path: string; found: string }>({
    severity: 'error',
    title: (a) => `${a.path} is not an IDX file: expected it to begin with 00 00 08 and a rank of 1 to 4, found ${a.found}`,
    help: () => 'IDX files of unsigned bytes can be read, as they are or under gzip',
  }),
  SSL5012: entry<{ path: string; expected: number; found: number }>({
    severity: 'error',
    title: (a) => `${a.path} is longer than it says: expected ${a.expected} bytes, found ${a.found}`,
    help: () => 'the sizes in its header do not belong to its content',
  }),
  SSL5013: entry<{ path: string; expected: string; found: string }>({
    severity: 'error',
    title: (a) => `${a.path}: expected ${a.expected}, found ${a.found}`,
  }),
  SSL5014: entry<{ path: string; problem: string }>({
    severity: 'error',
    title: (a) => `${a.path} is damaged: ${a.problem}`,
    help: () => 'fetch or make the file again',
  }),
  SSL5015: entry<{ path: string; skipped: number; examples: readonly string[] }>({
    severity: 'error',
    title: (a) => `${a.path}: expected at least two pictures that can be read, found ${a.skipped === 0 ? 'none' : `only damaged ones (${a.skipped})`}`,
    help: (a) => (a.examples.length > 0 ? `for instance ${a.examples.join(', ')}` : 'JPEG, PNG and WebP files are read, in the folder and below it'),
  }),
  SSL5016: entry<{ path: string; count: number; total: number; names: readonly string[] }>({
    severity: 'warning',
    title: (a) => `${a.path}: ${a.count} of ${a.total} files could not be read and are left out`,
    help: (a) => `${a.names.join('; ')}${a.count > a.names.length ? `; and ${a.count - a.names.length} more` : ''}`,
  }),
  SSL5017: entry<{ path: string; problem: string }>({
    severity: 'error',
    title: (a) => `${a.path} can no longer be read: ${a.problem}`,
    help: () => 'it could be read when the data was opened; put it back, or remove it and start again without it',
  }),
  SSL5018: entry<{ first: string; second: string; count: number; names: readonly string[] }>({
    severity: 'warning',
    title: (a) => `${a.first} and ${a.second}: ${a.count} ${a.count === 1 ? 'picture has' : 'pictures have'} no partner of the same name and ${a.count === 1 ? 'is' : 'are'} left out`,
    help: (a) => `${a.names.join('; ')}${a.count > a.names.length ? `; and ${a.count - a.names.length} more` : ''}`,
  }),
  SSL5020: entry<{ batch: number; examples: number }>({
    severity: 'error',
    title: (a) => `expected at least one batch of ${a.batch} examples, found ${a.examples} in the data`,
    help: (a) => `use a smaller batch: \`--set batch=${Math.max(1, a.examples)}\` or less`,
  }),
  SSL5021: entry<{ path: string }>({
    severity: 'error',
    title: (a) => `${a.path} has no checkpoint to go on from`,
    help: () => 'start the run without `--resume`',
  }),
  SSL5022: entry<{ path: string; tensor: string; expected: string; found: string }>({
    severity: 'error',
    title: (a) => `${a.path} does not fit this model: expected ${a.expected} for \`${a.tensor}\`, found ${a.found}`,
    help: () => 'use the model and settings the file was made with',
  }),
  SSL5023: entry<{ path: string; problem: string }>({
    severity: 'error',
    title: (a) => `${a.path} is not a safetensors file: ${a.problem}`,
  }),
  SSL5024: entry<{ what: string; before: string; now: string }>({
    severity: 'error',
    title: (a) => `cannot resume: the run was started with ${a.what} ${a.before}, and now it is ${a.now}`,
    help: () => 'resume with the same options, or start a new run',
  }),
  SSL5025: entry<{ directory: string }>({
    severity: 'error',
    title: (a) => `${a.directory} already holds a run`,
    help: () => 'go on with `--resume`, or choose another folder with `--out`',
  }),
  SSL5030: entry<{ step: number; name: string; value: string; checkpoint: string | null }>({
    severity: 'error',
    title: (a) => `training stopped at step ${a.step}: \`${a.name}\` is ${a.value}`,
    help: (a) => `${a.checkpoint === null ? 'there is no checkpoint before it' : `the last good checkpoint is ${a.checkpoint}`}; a lower rate, a longer warmup or a larger temperature often helps`,
  }),
  SSL5032: entry<{ step: number; message: string; checkpoint: string | null }>({
    severity: 'error',
    title: (a) => `training stopped at step ${a.step}: ${a.message}`,
    help: (a) => collapseHelp(a.checkpoint),
  }),
  SSL5033: entry<{ step: number; message: string; checkpoint: string | null }>({
    severity: 'warning',
    title: (a) => `at step ${a.step}: ${a.message}`,
    help: (a) => `${collapseHelp(a.checkpoint)}; \`--on-collapse stop\` ends a run there`,
  }),
  SSL5031: entry<{ what: string; why: string }>({
    severity: 'error',
    title: (a) => `${a.what} cannot be evaluated: ${a.why}`,
  }),
};
