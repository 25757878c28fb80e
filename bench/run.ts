/**
 * The benchmark: the same works on sslc and on every peer this machine has, interleaved, checked to be equal before they are
 * timed. `npm run bench -- --help` says what it takes. Prints a table and writes JSON; it is no test.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describeProbe } from './probe/describe.js';
import type { DeviceProbe } from './probe/device-probe.js';
import type { ClassCost, Prepared, Request } from './peers/serve.js';
import type { Ceilings, ClassRoofline } from './roofline.js';
import { rooflineLines, rooflines } from './roofline.js';
import type { ParameterSpec } from './values.js';
import type { Work } from './works.js';
import { ceilings, works } from './works.js';

const usage = `usage: npm run bench -- [WORD ...] [options]

  WORD             only the works whose names have one of the words
  --device NAME    what sslc runs on, as in \`sslc --device\` (default cpu); may be given several times
  --peers LIST     of torch, torch-compiled, torch-tf32, torch-amp, jax-js, jax-js-webgpu, tfjs, tfjs-webgpu, tinygrad, tinygrad-webgpu
                   (default: torch, jax-js, tfjs, tinygrad; on a GPU all that are here), or none
  --rounds N       rounds of interleaved runs (default 5)
  --seconds N      about how long a peer runs in a round (default 0.5)
  --slow N         leave out a peer whose run takes longer than N seconds (default 20)
  --tune           also sslc with the schedules of each work's kernels measured first, as \`sslc --tune\` does
  --half           training steps in \`precision "f16"\` as well (always on a GPU)
  --no-probe       leave out the figures of the device itself, which are measured first on everything but the CPU target
  --roofline       also what each class of kernels reaches of the machine's ceilings (always on a GPU)
  --json FILE      also write the results
  --install        fetch the JavaScript peers into bench/node_modules first (about 330 MB)
`;

interface Options {
  readonly words: readonly string[];
  readonly devices: readonly string[];
  readonly peers: readonly string[] | null;
  readonly rounds: number;
  readonly seconds: number;
  readonly slow: number;
  readonly json: string | null;
  readonly half: boolean;
  readonly tune: boolean;
  readonly probe: boolean;
  readonly roofline: boolean;
  readonly install: boolean;
}

function readOptions(argv: readonly string[]): Options {
  const value = new Map<string, string[]>();
  const words: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const name = argv[i];
    if (!name.startsWith('--')) { words.push(name); continue; }
    if (!['--device', '--peers', '--rounds', '--seconds', '--slow', '--json', '--half', '--tune', '--no-probe', '--roofline', '--install', '--help'].includes(name)) { console.error(`unknown option ${name}\n\n${usage}`); process.exit(2); }
    value.set(name, [...(value.get(name) ?? []), ['--install', '--help', '--half', '--tune', '--no-probe', '--roofline'].includes(name) ? 'yes' : argv[++i] ?? '']);
  }
  if (value.has('--help')) { console.log(usage); process.exit(0); }
  const last = (name: string): string | null => value.get(name)?.at(-1) ?? null;
  return {
    words, devices: value.get('--device') ?? ['cpu'], peers: last('--peers')?.split(',') ?? null, rounds: Number(last('--rounds') ?? 5),
    seconds: Number(last('--seconds') ?? 0.5), slow: Number(last('--slow') ?? 20), json: last('--json'), half: value.has('--half'), tune: value.has('--tune'), probe: !value.has('--no-probe'), roofline: value.has('--roofline'), install: value.has('--install'),
  };
}

/** A peer in a process of its own. */
class PeerProcess {
  private readonly lines: AsyncIterator<string>;
  private readonly child;
  name: string;

  constructor(readonly key: string, command: string, args: readonly string[]) {
    this.name = key;
    // Debian's OpenBLAS takes newer Xeons for an old processor; glibc gives large buffers back to the system, which maps and clears them anew in every step.
    const blas = cpus()[0]?.model.includes('Xeon') === true ? { OPENBLAS_CORETYPE: 'SkylakeX' } : {};
    const kept = { MALLOC_MMAP_THRESHOLD_: String(2 ** 30), MALLOC_TRIM_THRESHOLD_: String(2 ** 32) };
    this.child = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'], env: { ...blas, ...kept, ...process.env } });
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  async ask(request: Request): Promise<Record<string, unknown>> {
    this.child.stdin.write(`${JSON.stringify(request)}\n`);
    // Libraries print as they like: what is not an answer is passed over.
    for (;;) {
      const line = await this.lines.next();
      if (line.done === true) return { error: 'the process ended' };
      if (!line.value.startsWith('{')) continue;
      return JSON.parse(line.value) as Record<string, unknown>;
    }
  }

  close(): void {
    this.child.stdin.end();
    this.child.kill();
  }
}

const here = join(import.meta.dirname);
/** The first Python that has a library. */
const pythonWith = (library: string): string | null => ['/usr/bin/python3', 'python3'].find((p) => spawnSync(p, ['-c', `import ${library}, numpy`]).status === 0) ?? null;
const installed = (name: string): boolean => existsSync(join('bench', 'node_modules', name));

/** The libraries to compare with; on a GPU, all that are here, in every precision. */
function peersHere(options: Options, gpu: boolean): PeerProcess[] {
  const [pytorch, tinygrad] = [pythonWith('torch'), pythonWith('tinygrad')];
  const node = (key: string, file: string, ...args: string[]): [string, () => PeerProcess] => [key, () => new PeerProcess(key, process.execPath, [join(here, 'peers', `${file}.mjs`), ...args])];
  const torch = (key: string, ...args: string[]): [string, () => PeerProcess] => [key, () => new PeerProcess(key, pytorch ?? '', [join('bench', 'peers', 'pytorch.py'), ...args])];
  const known: [string, () => PeerProcess][] = [
    ...(pytorch === null ? [] : [torch('torch', 'eager', 'fp32'), torch('torch-compiled', 'compiled', 'fp32'), torch('torch-tf32', 'eager', 'tf32'), torch('torch-amp', 'eager', 'amp')]),
    ...(installed('@jax-js/jax') ? [node('jax-js', 'jax-js', 'wasm'), node('jax-js-webgpu', 'jax-js', 'webgpu')] : []),
    ...(installed('@tensorflow/tfjs') ? [node('tfjs', 'tfjs', 'wasm'), node('tfjs-webgpu', 'tfjs', 'webgpu')] : []),
    ...(tinygrad === null ? [] : [
      ['tinygrad', () => new PeerProcess('tinygrad', tinygrad, [join('bench', 'peers', 'tinygrad_peer.py'), 'cpu'])] satisfies [string, () => PeerProcess], node('tinygrad-webgpu', 'tinygrad-webgpu', tinygrad),
    ]),
  ];
  const usual = ['torch', 'jax-js', 'tfjs', 'tinygrad'];
  const install = (key: string): string => (key.startsWith('torch') ? 'install python3-torch' : key.startsWith('tinygrad') ? 'put tinygrad and clang where python3 finds them' : 'npm run bench -- --install');
  const wanted = options.peers?.filter((key) => key !== 'none') ?? known.map(([key]) => key).filter((key) => gpu || usual.includes(key));
  for (const key of wanted) if (!known.some(([k]) => k === key)) console.error(`${key} is not here: ${install(key)}`);
  return known.filter(([key]) => wanted.includes(key)).map(([, start]) => start());
}

interface Measured {
  readonly peer: string;
  readonly name: string;
  readonly ms: readonly number[];
  readonly compileMs: number;
  readonly launches: number | null;
  readonly peakBytes: number;
  readonly note: string | null;
  /** By class of kernel, where it was asked for. */
  readonly classes?: readonly ClassRoofline[];
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)];

/** Whether a peer's results are the reference's: relative difference of each at most 1 %, or 10 % where each draws for itself. */
function differs(work: Work, check: readonly number[], reference: readonly number[]): string | null {
  const most = work.kind === 'operation' && work.call === 'augmentation' ? 0.1 : 0.01;
  for (let k = 0; k < reference.length; k++) {
    const off = Math.abs(check[k] - reference[k]) / Math.max(1e-6, Math.abs(reference[k]));
    if (!(off <= most)) return `result ${k + 1} is ${check[k]}, sslc's ${reference[k]}`;
  }
  return null;
}

async function measure(work: Work, peers: readonly PeerProcess[], options: Options, limits: ((peer: string) => Ceilings) | null): Promise<Measured[]> {
  const ready: { peer: PeerProcess; prepared: Prepared; ms: number[]; runs: number; peakBytes: number }[] = [];
  const left: Measured[] = [];
  let parameters: readonly ParameterSpec[] = [];
  let reference: readonly number[] | null = null;
  const out = (peer: PeerProcess, note: string): void => { left.push({ peer: peer.key, name: peer.name, ms: [], compileMs: 0, launches: null, peakBytes: 0, note }); };
  for (const peer of peers) {
    const answer = await peer.ask({ op: 'prepare', work, parameters });
    if (answer['unable'] === true) continue;
    if (typeof answer['error'] === 'string') { out(peer, answer['error']); continue; }
    const prepared = answer as unknown as Prepared & { parameters: readonly ParameterSpec[] };
    if (parameters.length === 0 && peer.key.startsWith('sslc')) parameters = prepared.parameters;
    reference ??= prepared.check;
    const wrong = differs(work, prepared.check, reference);
    if (wrong !== null) { out(peer, `not the same: ${wrong}`); continue; }
    const first = (await peer.ask({ op: 'time', runs: 1 })) as unknown as { ms: number[] };
    const second = first.ms[0] > 1000 * options.slow ? first : ((await peer.ask({ op: 'time', runs: 1 })) as unknown as { ms: number[] });
    if (second.ms[0] > 1000 * options.slow) { out(peer, `a run takes ${(second.ms[0] / 1000).toFixed(1)} s`); await peer.ask({ op: 'release' }); continue; }
    ready.push({ peer, prepared, ms: [], runs: Math.max(1, Math.min(200, Math.round((1000 * options.seconds) / second.ms[0]))), peakBytes: 0 });
  }
  for (let round = 0; round < options.rounds; round++) {
    for (const r of ready) {
      const { ms, peakBytes } = (await r.peer.ask({ op: 'time', runs: r.runs })) as unknown as { ms: number[]; peakBytes: number };
      r.ms.push(median(ms));
      r.peakBytes = peakBytes;
    }
  }
  const classes = new Map<PeerProcess, readonly ClassRoofline[]>();
  for (const { peer } of ready) {
    if (limits !== null && work.kind === 'step' && peer.key.startsWith('sslc')) {
      const { classes: costs } = (await peer.ask({ op: 'profile' })) as unknown as { classes?: readonly ClassCost[] };
      classes.set(peer, rooflines(costs ?? [], limits(peer.key)));
    }
    await peer.ask({ op: 'release' });
  }
  return [...ready.map((r) => ({ peer: r.peer.key, name: r.peer.name, ms: r.ms, compileMs: r.prepared.compileMs, launches: r.prepared.launches ?? null, peakBytes: r.peakBytes, note: null, classes: classes.get(r.peer) ?? [] })), ...left];
}

function show(work: Work, rows: readonly Measured[]): void {
  console.log(`\n${work.name}`);
  const own = rows.find((r) => r.ms.length > 0 && r.peer.startsWith('sslc')) ?? rows.find((r) => r.ms.length > 0);
  for (const r of rows) {
    if (r.ms.length === 0 || own === undefined) { console.log(`  ${r.name.padEnd(44)} ${r.note ?? ''}`); continue; }
    const ms = median(r.ms);
    // The ratio of each round, so that what slows the machine slows both.
    const ratios = r.ms.map((m, k) => m / own.ms[k]);
    const rate = work.kind === 'operation' ? `${(work.unit === 'images/s' ? work.amount / ms * 1000 : work.amount / ms / 1e6).toFixed(work.unit === 'images/s' ? 0 : 1)} ${work.unit}` : '';
    const ratio = r === own ? '' : `${median(ratios).toFixed(2)}x sslc's time (${Math.min(...ratios).toFixed(2)}..${Math.max(...ratios).toFixed(2)})`;
    console.log(`  ${r.name.padEnd(44)} ${ms.toFixed(2).padStart(10)} ms  ${rate.padStart(16)}  ${r.launches === null ? ''.padStart(12) : `${r.launches} launches`.padStart(12)}  ${(r.peakBytes / 1e6).toFixed(0).padStart(6)} MB  ready in ${(r.compileMs / 1000).toFixed(1)} s  ${ratio}`);
    for (const line of rooflineLines(r.classes ?? [])) console.log(line);
  }
}

/** GB/s of a plain copy by one thread, the roof for whatever only moves memory. */
function copyCeiling(): number {
  const [from, to] = [new Float64Array(8e6).fill(1), new Float64Array(8e6)];
  let best = Infinity;
  for (let k = 0; k < 12; k++) {
    const started = performance.now();
    to.set(from);
    best = Math.min(best, performance.now() - started);
  }
  return (2 * 8 * 8e6) / best / 1e6;
}

/** What the device itself can do, measured in a process of its own; null for the CPU target and where it cannot be said. */
function probeDevice(device: string): DeviceProbe | null {
  if (device === 'cpu') return null;
  const { stdout } = spawnSync(process.execPath, [join(here, 'probe', 'device-probe.mjs'), device], { encoding: 'utf8', maxBuffer: 1 << 26, stdio: ['ignore', 'pipe', 'ignore'] });
  const line = stdout.split('\n').find((l) => l.startsWith('{'));
  const answer = line === undefined ? { error: 'the process ended' } : (JSON.parse(line) as DeviceProbe | { readonly error: string });
  if (!('error' in answer)) return answer;
  console.error(`${device} was not probed: ${answer.error}`);
  return null;
}

const options = readOptions(process.argv.slice(2));
if (options.install) spawnSync('npm', ['install', '--no-audit', '--no-fund', '--prefix', 'bench'], { stdio: 'inherit' });
const own = (device: string, ...precision: readonly string[]): PeerProcess => new PeerProcess(['sslc', device, ...precision].join(' '), process.execPath, [join(here, 'peers', 'sslc.mjs'), device, ...precision]);
const devices: PeerProcess[] = [];
let gpu = false;
for (const choice of options.devices) {
  const device = own(choice);
  devices.push(device);
  const hello = await device.ask({ op: 'hello' });
  if (typeof hello['name'] !== 'string') {
    console.error(`${device.key}: ${String(hello['error'])}`);
    for (const d of devices) d.close();
    process.exit(3);
  }
  device.name = hello['name'];
  gpu ||= hello['gpu'] === true;
  if (options.tune) {
    const tuned = own(choice, 'f32', 'tuned');
    tuned.name = `${device.name}, tuned`;
    devices.push(tuned);
  }
  if (hello['half'] !== true || (hello['gpu'] !== true && !options.half)) continue;
  const half = own(choice, 'f16');
  half.name = `${device.name}, precision f16`;
  devices.push(half);
}
const others: PeerProcess[] = [];
for (const peer of peersHere(options, gpu)) {
  const hello = await peer.ask({ op: 'hello' });
  if (typeof hello['name'] === 'string') {
    peer.name = hello['name'];
    others.push(peer);
  } else {
    console.error(`${peer.key} does not run here: ${String(hello['error'])}`);
    peer.close();
  }
}
const peers = [...devices, ...others];
const ceiling = copyCeiling();
console.log(`${cpus()[0]?.model ?? 'unknown processor'}, ${availableParallelism()} threads, Node ${process.versions.node}; a plain copy by one thread moves ${ceiling.toFixed(1)} GB/s`);
console.log(`${options.rounds} rounds, interleaved; the median of the rounds' medians, and each round's ratio to the first row`);
const results: { work: string; rows: readonly Measured[] }[] = [];
/** The best that any peer reaches; products in less than single precision do not count. */
async function measureCeilings(): Promise<Ceilings> {
  const best: number[] = [];
  for (const work of ceilings) {
    const rows = await measure(work, peers.filter((p) => !/tf32|amp|f16/.test(p.key)), options, null);
    show(work, rows);
    results.push({ work: work.name, rows });
    best.push(Math.max(...rows.map((r) => (work.kind === 'operation' && r.ms.length > 0 ? work.amount / Math.min(...r.ms) / 1e6 : 0))));
  }
  return { gigabytesPerSecond: best[0], gigaflopsPerSecond: best[1] };
}
const probes = options.probe ? options.devices.flatMap((device) => probeDevice(device) ?? []) : [];
for (const probe of probes) for (const line of describeProbe(probe)) console.log(line);
const limits = await measureCeilings();
console.log(`\nthe most that was seen here: ${limits.gigabytesPerSecond.toFixed(1)} GB/s, ${limits.gigaflopsPerSecond.toFixed(1)} GFLOP/s`);
/** The roof over a peer's kernels: in 16 bits products have another one, that of the best product the probe found. */
function limitsOf(peer: string): Ceilings {
  const products = / f16$/.test(peer) ? probes.flatMap((p) => p.products).filter((p) => p.element === 'f16' && p.problem === null) : [];
  return { ...limits, gigaflopsPerSecond: Math.max(limits.gigaflopsPerSecond, ...products.map((p) => p.gigaflopsPerSecond)) };
}
for (const work of works) {
  if (options.words.length > 0 && !options.words.some((w) => work.name.includes(w))) continue;
  const rows = await measure(work, peers, options, gpu || options.roofline ? limitsOf : null);
  show(work, rows);
  results.push({ work: work.name, rows });
}
for (const peer of peers) peer.close();
if (options.json !== null) writeFileSync(options.json, `${JSON.stringify({ date: new Date().toISOString(), processor: cpus()[0]?.model, copyGigabytesPerSecond: ceiling, ceilings: limits, probes, results }, null, 2)}\n`);
