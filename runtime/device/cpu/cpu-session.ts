/**
 * A loaded plan on the CPU: its memory, its functions, and the threads that run them. The main thread works too, so
 * a run blocks until it is done; between runs the workers sleep.
 */
import { Worker } from 'node:worker_threads';
import { constantsOf } from '../../../compiler/plan/constants.js';
import type { Code, Plan, Slot } from '../../../compiler/plan/plan.js';
import type { HostArray, Session } from '../device.js';
import { bug } from '../../../grammar/diagnostics/report.js';
import { DeviceError } from '../device.js';
import type { WasmInstance, WasmMemory, WasmModule } from './webassembly.js';
import { webAssembly } from './webassembly.js';
import { walkText, workerText } from './worker-loop.js';

type WasmCode = Extract<Code, { target: 'wasm' }>;
type KernelFunction = (first: number, end: number, worker: number) => void;
type Walk = (control: Int32Array, functions: readonly KernelFunction[], worker: number, spins: number) => void;

const pageBytes = 65536;
const gibibyte = 2 ** 30;
/** Looks at a counter before a thread goes to sleep: some tens of microseconds. */
const spins = 4000;

/** Allocates memory, compiles the module and starts the threads. */
export async function loadCpuSession(plan: Plan, code: WasmCode, threads: number, onClose: () => void): Promise<Session> {
  const bytes = code.scratchBase + threads * code.scratchBytes;
  const memory = allocate(bytes);
  const module = await compile(code);
  const instance = new webAssembly.Instance(module, { env: { memory } });
  const names = Object.keys(plan.entries);
  const functionNames = names.map((name) => plan.entries[name].launches.map((l) => functionName(instance, name, l.kernel)));
  const functions = functionNames.map((list) => list.map((name) => kernelFunction(instance, name)));
  const longest = Math.max(1, ...functionNames.map((l) => l.length));
  const control = new Int32Array(new SharedArrayBuffer((8 + 4 * longest) * 4));
  const workers = await startWorkers(threads, { module, memory, control, entries: functionNames });
  // The same text that the workers run, so that there is one loop to get right.
  const walk = new Function(`${walkText}; return walk;`)() as Walk;
  let failure: DeviceError | null = null;
  let closed = false;
  for (const w of workers) w.on('error', (error) => { failure = new DeviceError('lost', `a worker thread failed: ${error.message}`); });

  const view = (slot: Slot): HostArray => {
    const at = code.bases[slot.arena] + slot.offset;
    const count = slot.shape.reduce((a, b) => a * b, 1);
    switch (slot.element) {
      case 'f32': return new Float32Array(memory.buffer, at, count);
      case 'f16': return bug('f16 data is for kernels only');
      case 'u8': return new Uint8Array(memory.buffer, at, count);
      case 'i32': case 'bool': return new Int32Array(memory.buffer, at, count);
    }
  };
  const sourceSlot = (name: string): Slot => {
    if (closed) throw new DeviceError('lost', 'the session is closed');
    if (!(name in plan.sources)) throw new DeviceError('validation', `the plan has no source "${name}"`);
    return plan.sources[name];
  };
  const copyOf = (slot: Slot): HostArray => view(slot).slice();
  for (const { name, values } of constantsOf(plan)) view(plan.sources[name]).set(values);

  return {
    plan,
    write(source: string, data: HostArray, offset = 0): void {
      const target = view(sourceSlot(source));
      if (Object.prototype.toString.call(target) !== Object.prototype.toString.call(data)) throw new DeviceError('validation', `source "${source}" holds ${plan.sources[source].element}, not what was written`);
      if (offset < 0 || offset + data.length > target.length) throw new DeviceError('validation', `writing ${data.length} elements at ${offset} into source "${source}" of ${target.length}`);
      target.set(data, offset);
    },
    run(entry: string): Promise<void> {
      return new Promise((resolve) => {
        if (closed) throw new DeviceError('lost', 'the session is closed');
        if (failure !== null) throw failure;
        const number = names.indexOf(entry);
        if (number < 0) throw new DeviceError('validation', `the plan has no entry "${entry}"`);
        const { launches } = plan.entries[entry];
        launches.forEach((l, i) => {
          const [tasks] = l.workgroups;
          control.set([0, 0, tasks, Math.max(1, Math.floor(tasks / (threads * 8)))], 8 + 4 * i);
        });
        control[1] = workers.length;
        control[2] = launches.length;
        control[3] = 0;
        control[4] = number;
        Atomics.add(control, 0, 1);
        if (workers.length > 0) Atomics.notify(control, 0);
        try {
          walk(control, functions[number], 0, spins);
        } catch (error) {
          Atomics.store(control, 3, 1);
          failure = new DeviceError('lost', `a kernel of "${entry}" failed: ${error instanceof Error ? error.message : String(error)}`);
        }
        for (let spin = 0; Atomics.load(control, 1) !== 0; spin++) {
          if (spin > spins) Atomics.wait(control, 1, Atomics.load(control, 1), 50);
        }
        if (Atomics.load(control, 3) !== 0) throw failure ?? (failure = new DeviceError('lost', `a kernel of "${entry}" failed in a worker thread`));
        resolve();
      });
    },
    readSource: (source) => new Promise((resolve) => resolve(copyOf(sourceSlot(source)))),
    readOutput: (entry, output) => new Promise((resolve) => {
      const slot = plan.entries[entry]?.outputs[output];
      if (slot === undefined) throw new DeviceError('validation', `entry "${entry}" has no output "${output}"`);
      resolve(copyOf(slot));
    }),
    finish: () => (failure === null ? Promise.resolve() : Promise.reject(failure)),
    async close(): Promise<void> {
      if (closed) return;
      closed = true;
      control[4] = -1;
      Atomics.add(control, 0, 1);
      Atomics.notify(control, 0);
      await Promise.all(workers.map((w) => w.terminate()));
      onClose();
    },
  };
}

function allocate(bytes: number): WasmMemory {
  const pages = Math.ceil(bytes / pageBytes);
  const size = `${(bytes / gibibyte).toFixed(2)} GiB`;
  if (pages > 65536) throw new DeviceError('out-of-memory', `this plan needs ${size} and the CPU target can address 4 GiB: use a smaller batch, or a GPU`);
  try {
    return new webAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  } catch {
    throw new DeviceError('out-of-memory', `this plan needs ${size} of memory, which this machine could not give: use a smaller batch`);
  }
}

async function compile(code: WasmCode): Promise<WasmModule> {
  try {
    return await webAssembly.compile(Buffer.from(code.binary, 'base64'));
  } catch (error) {
    throw new DeviceError('validation', `the generated WebAssembly is not valid: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Kernels are exported with their program's name in front; plans may name them without it where that is enough. */
function functionName(instance: WasmInstance, entry: string, kernel: string): string {
  return `${entry}.${kernel}` in instance.exports ? `${entry}.${kernel}` : kernel;
}

function kernelFunction(instance: WasmInstance, name: string): KernelFunction {
  const found = instance.exports[name];
  if (typeof found !== 'function') throw new DeviceError('validation', `the plan launches "${name}", which its code does not have`);
  return (first, end, worker) => { found(first, end, worker); };
}

interface WorkerSetup {
  readonly module: WasmModule;
  readonly memory: WasmMemory;
  readonly control: Int32Array;
  readonly entries: readonly (readonly string[])[];
}

async function startWorkers(threads: number, setup: WorkerSetup): Promise<Worker[]> {
  const workers = Array.from({ length: threads - 1 }, (_, i) => new Worker(workerText, { eval: true, workerData: { worker: i + 1 } }));
  try {
    await Promise.all(workers.map((worker) => new Promise<void>((resolve, reject) => {
      worker.once('message', () => resolve());
      worker.once('error', reject);
      worker.postMessage({ kind: 'load', module: setup.module, memory: setup.memory, entries: setup.entries });
    })));
  } catch (error) {
    await Promise.all(workers.map((w) => w.terminate()));
    throw new DeviceError('unavailable', `a worker thread could not start: ${error instanceof Error ? error.message : String(error)}`);
  }
  for (const worker of workers) {
    worker.postMessage({ kind: 'serve', control: setup.control });
    worker.removeAllListeners('error');
    worker.unref();
  }
  return workers;
}
