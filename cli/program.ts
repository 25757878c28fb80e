/**
 * Every command with its words: arguments, options, examples. A command's code is loaded when it runs, so help and
 * `--version` start at once.
 */
import { Command } from 'commander';
import packageJson from '../package.json' with { type: 'json' };
import { emissions, passNames } from './emissions.js';
import { assignment, oneOf, whole, withLines, type LineOptions } from './options.js';
import type { Context, Outcome } from './outcome.js';
import type { CallOptions } from './commands/call.js';
import type { CheckOptions } from './commands/check.js';
import type { CompileOptions } from './commands/compile.js';
import type { EmbedOptions } from './commands/embed.js';
import type { EvaluateOptions } from './commands/evaluate.js';
import type { FormatOptions } from './commands/fmt.js';
import type { SpecOptions } from './commands/spec.js';
import type { TrainOptions } from './commands/train.js';

/** Runs a command's work; `run.ts` prints what it gives. */
export type Perform = (command: string, work: () => Promise<Outcome>) => Promise<void>;

/** The command line, ready to parse. */
export function makeProgram(context: Context, perform: Perform): Command {
  const { terminal } = context;
  const program = new Command('sslc')
    .description('Compiles and trains self-supervised models written in .ssl.')
    .version(`sslc ${packageJson.version}`, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help for a command')
    .showSuggestionAfterError(true)
    .showHelpAfterError(false)
    .exitOverride()
    .configureOutput({
      writeOut: terminal.stdout,
      writeErr: terminal.stderr,
      outputError: (text, write) => { if (!context.json) write(text.replace(/\n\(Did you mean (.*)\?\)/, '\n  = help: did you mean $1?')); },
      getOutHelpWidth: () => terminal.width,
      getErrHelpWidth: () => terminal.width,
    })
    .addHelpText('after', () => examples(['sslc train models/vision/simclr.ssl', 'sslc check models/vision/vicreg.ssl', 'sslc help train']) + '\nExit codes: 0 ok, 1 errors in the program, 2 usage, 3 something missing, 4 stopped by a guard, 70 a bug in sslc, 130 interrupted.\n');

  const command = (usage: string, summary: string, shown: readonly string[]): Command =>
    program.command(usage).description(summary).option('--json', 'print one JSON document (docs/json.md) instead of text').addHelpText('after', () => examples(shown));
  const settable = (c: Command): Command =>
    c.option('--set <name=value>', 'override a setting or a line of the train block; may be repeated', assignment('--set'), {})
      .option('--model <name>', 'which model, when the file has several');
  const lined = (c: Command): Command =>
    c.option('--virtual-batch <n>', 'learn from batches of so many examples, as many of them in memory at a time as the train block\'s `batch`', whole('--virtual-batch', 1))
      .option('--batch-norm <how>', 'what layers that mix examples see under a virtual batch: chunk', oneOf('--batch-norm', ['chunk']))
      .option('--precision <kind>', 'how activations and their gradients are kept while training: f32, or f16 in half the memory', oneOf('--precision', ['f32', 'f16']));
  const tuneHelp = 'measure the schedules of the model\'s kernels on the device first, and keep the winners for later runs';
  const onDevice = (c: Command): Command => c.option('--device <name>', 'auto, gpu, cpu, or part of an adapter\'s name', 'auto');

  lined(settable(command('check <file>', 'Check a model: names, shapes, what is minimized, what it costs.', ['sslc check models/vision/simclr.ssl', 'sslc check model.ssl --set tau=0.2', 'sslc check model.ssl --probe'])))
    .option('--input <name=type>', 'bind an input without data, for instance x=u8[28,28,1]; may be repeated', assignment('--input'), {})
    .option('--probe', 'also run a few steps from a nearly collapsed start, and see whether the embeddings spread')
    .action((file: string, options: CheckOptions & LineOptions) => perform('check', async () => (await import('./commands/check.js')).check(context, file, withLines(options))));

  command('fmt <path...>', 'Format files in place; a folder stands for every .ssl below it, - for standard input.', ['sslc fmt model.ssl', 'sslc fmt --check models', 'sslc fmt - < model.ssl'])
    .option('--check', 'change nothing; exit 1 when something is not formatted')
    .option('--stdout', 'print the result instead of writing it')
    .action((paths: string[], options: FormatOptions) => perform('fmt', async () => (await import('./commands/fmt.js')).format(context, paths, options)));

  onDevice(lined(settable(command('train <file>', 'Train a model and report what it learned.', [
    'sslc train models/vision/simclr.ssl',
    'sslc train model.ssl --epochs 20 --set tau=0.2 --out runs/warm',
    'sslc train runs/simclr --resume',
  ]))))
    .option('--steps <n>', 'stop after so many steps', whole('--steps', 1))
    .option('--epochs <n>', 'stop after so many passes over the data', whole('--epochs', 1))
    .option('--seed <n>', 'seed of every draw', whole('--seed', 0))
    .option('--out <folder>', 'the run folder (default: runs/MODEL, runs/MODEL-2, ...)')
    .option('--resume', 'go on from the last checkpoint of a run: give its folder as <file>, or with --out')
    .option('--params <file or run>', 'start from the parameters in a safetensors file, or from the networks of another run: its folder or a checkpoint')
    .option('--data-memory <MiB>', 'pictures to hold decoded; a larger folder is decoded while training (default: 1024)', whole('--data-memory', 0))
    .option('--on-collapse <what>', 'when the embeddings collapse: warn, or stop with exit code 4', oneOf('--on-collapse', ['stop', 'warn'] as const), 'warn')
    .option('--tune', tuneHelp)
    .option('--no-evaluate', 'leave out the measures and the report at the end')
    .action((file: string, options: TrainOptions & LineOptions) => perform('train', async () => (await import('./commands/train.js')).train(context, file, withLines(options))));

  onDevice(command('evaluate <run>', 'Measure a trained encoder: neighbours, probes, clusters, retrieval, and figures without labels.', ['sslc evaluate runs/simclr', 'sslc evaluate runs/simclr --k 200 --temperature 0.1', 'sslc evaluate runs/simclr --labels 1%,10%,5']))
    .option('--k <n>', 'neighbours that vote', whole('--k', 1))
    .option('--temperature <t>', 'temperature of the vote', Number)
    .option('--metric <name>', 'how neighbours are found: cosine or euclidean', oneOf('--metric', ['cosine', 'euclidean'] as const))
    .option('--no-centre', 'leave the mean of the training embeddings in, for neighbours')
    .option('--split <name>', 'the examples asked about: test, or train, each leaving itself out', oneOf('--split', ['test', 'train'] as const))
    .option('--labels <list>', 'labels for further linear probes: shares and numbers a class (default: 1%,10%)')
    .option('--draws <n>', 'draws of these labels (default: 3)', whole('--draws', 1))
    .option('--episodes <n>', 'episodes to plan in, for a model with a plan and data with a world (default: 64)', whole('--episodes', 1))
    .option('--checkpoint <which>', 'a step, or a file, instead of the last checkpoint')
    .option('--finetune', 'also train the whole encoder further with labels, under a linear classifier, from here and from the untrained one')
    .option('--finetune-epochs <n>', 'how long (default: 5)', whole('--finetune-epochs', 1))
    .option('--finetune-rate <rate>', 'the optimizer\'s rate (default: 0.003)', Number)
    .option('--finetune-labels <share>', 'labels to use: 1%, 10%, 5 (a class) or all (default: all)')
    .action((run: string, options: EvaluateOptions) => perform('evaluate', async () => (await import('./commands/evaluate.js')).evaluate(context, run, options)));

  onDevice(command('embed <run> [data]', 'Write the embedding of every example: DATA is train, test, or a folder of pictures.', ['sslc embed runs/simclr test -o test.npy', 'sslc embed runs/simclr photos -o photos.npy']))
    .requiredOption('-o, --output <file>', 'the .npy (or .safetensors) file to write')
    .action((run: string, data: string | undefined, options: EmbedOptions) => perform('embed', async () => (await import('./commands/embed.js')).embed(context, run, data ?? 'test', options)));

  onDevice(command('call <file> <name>', 'Evaluate one function, energy, view, layer or model on given tensors.', [
    'sslc call losses.ssl nt_xent --inputs uv.safetensors --set tau=0.2 --grad -o out.safetensors',
  ]))
    .requiredOption('--inputs <file>', 'safetensors file with a tensor for each input, by its name')
    .option('--set <name=value>', 'a setting of what is called; may be repeated', assignment('--set'), {})
    .option('--params <file>', 'safetensors file with the parameters, by path; else they are drawn')
    .option('--seed <n>', 'seed of every draw', whole('--seed', 0), 0)
    .option('--inference', 'evaluate as in use, not as in training: running statistics, nothing dropped')
    .option('--grad', 'also write grad.NAME for each float input and grad.param.PATH for each parameter')
    .option('-o, --output <file>', 'the safetensors file to write; without it, shapes and small values are printed')
    .action((file: string, name: string, options: CallOptions) => perform('call', async () => (await import('./commands/call.js')).call(context, file, name, options)));

  onDevice(lined(settable(command('compile <file>', 'Show what a model becomes on its way to the device.', ['sslc compile model.ssl --report', 'sslc compile model.ssl --emit wgsl', 'sslc compile model.ssl --emit tensor --entry step']))))
    .option('--emit <what>', emissions.join(', '), oneOf('--emit', emissions))
    .option('--dump-after <pass>', `the tensor programs after a pass: ${passNames.join(', ')}`, oneOf('--dump-after', passNames))
    .option('--entry <name>', 'only this program: init, step, embed, ...')
    .option('--tune', tuneHelp)
    .option('--report', 'launches, FLOPs, bytes and peak memory, per kernel and in total')
    .option('--input <name=type>', 'bind an input without data, for instance x=u8[28,28,1]; may be repeated', assignment('--input'), {})
    .action((file: string, options: CompileOptions & LineOptions) => perform('compile', async () => (await import('./commands/compile.js')).compile(context, file, withLines(options))));

  settable(command('spec <file>', 'Write a model as one self-contained JSON document that every command accepts.', ['sslc spec model.ssl -o model.json', 'sslc train model.json']))
    .option('-o, --output <file>', 'write to a file instead of standard output')
    .action((file: string, options: SpecOptions) => perform('spec', async () => (await import('./commands/spec.js')).spec(context, file, options)));

  command('doctor', 'Say which devices this machine has and what would be faster.', ['sslc doctor', 'sslc doctor --json'])
    .action(() => perform('doctor', async () => (await import('./commands/doctor.js')).doctor(context)));

  command('explain [code]', 'Explain an error code, with an example; without a code, list them all.', ['sslc explain SSL1001'])
    .action((code: string | undefined) => perform('explain', async () => (await import('./commands/explain.js')).explain(context, code ?? null)));

  command('doc [what]', 'Print the documentation of a file or library module, of the whole library, or the grammar.', ['sslc doc', 'sslc doc std.vision', 'sslc doc model.ssl', 'sslc doc grammar'])
    .action((what: string | undefined) => perform('doc', async () => (await import('./commands/doc.js')).doc(context, what ?? null)));

  for (const c of program.commands) c.configureOutput(program.configureOutput()).exitOverride();
  return program;
}

function examples(lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}\n`).join('')}`;
}
