/** What the emitters of kernels share: the module, the memory map, and what workers need for themselves. */
import type { Module } from './binary.js';
import { FunctionBuilder, I32, op } from './binary.js';
import type { Local } from './binary.js';
import type { ScheduleChoice } from './choose-schedule.js';
import type { Memory } from './lower-scalar.js';
import type { MathFunctions } from './math.js';

export interface Context extends ScheduleChoice {
  readonly module: Module;
  readonly math: MathFunctions;
  readonly memory: Memory;
  /** Fused multiply-add may be used where the machine has it. */
  readonly relaxed: boolean;
  /** Shared memory behind the arenas: `counterBytes` of counters, which are zero between launches, and partial results. */
  readonly countersBase: number;
  readonly partialsBase: number;
  /** Where the kernel's part of a worker's own memory begins; before it stands, for kernels of a chain, what they keep from task to task. */
  readonly scratchOffset: number;
  /** Bytes each worker needs for itself, and shared bytes for partial results: the most any kernel asks for. */
  readonly needs: { scratch: number; partials: number };
}

/** Bytes of counters a kernel may use. */
export const counterBytes = 64 * 1024;

/** Globals of the module: where worker 0's memory starts, and bytes a worker. */
export const scratchBaseGlobal = 0;
export const scratchBytesGlobal = 1;

/** The parameter of a task function that holds the number of the worker. */
const workerParameter = 2;

export interface TaskFunction {
  readonly f: FunctionBuilder;
  readonly task: Local;
  /** First byte of the worker's own memory. */
  readonly scratch: Local;
}

/** The parameters before the addresses of tensors: the first task, the end, the worker. */
export const addressParameters = 3;

/** The parameters of a kernel's function. */
export const taskParameters = ({ memory }: Context): (typeof I32)[] => [I32, I32, I32, ...Array.from(memory.parameters, (): typeof I32 => I32)];

/** Calls the function of a kernel of a chain from that of the chain, which has the same parameters, for some tasks. */
export function callTasks(context: Context, f: FunctionBuilder, name: string, from: Local, to: Local): void {
  f.get(from).get(to);
  for (let p = workerParameter; p < addressParameters + context.memory.parameters.size; p++) f.get(p);
  f.call(context.module.indexOf(name));
}

/** Bytes before the memory of a kernel of a chain: a word that says what it keeps, -1 at first. */
export const keepBytes = 64;

/** Pushes the address of a byte of the worker's own memory. */
export function pushWorkerMemory(f: FunctionBuilder, offset: number): FunctionBuilder {
  return f.global(scratchBaseGlobal).get(workerParameter).global(scratchBytesGlobal).op(op.i32mul).op(op.i32add).i32(offset).op(op.i32add);
}

/** Makes (first, end, worker, addresses...) -> () as `name`, which runs `body` for each task and `before` once a call. */
export function taskFunction(context: Context, name: string, body: (t: TaskFunction) => void, before: (t: TaskFunction) => void = () => undefined): void {
  const f = new FunctionBuilder(taskParameters(context), []);
  const scratch = f.local(I32);
  pushWorkerMemory(f, context.scratchOffset).set(scratch);
  const t = { f, task: 0, scratch };
  before(t);
  f.count(0, () => f.get(1), 1, () => body(t));
  context.module.name(name, context.module.add(f));
}

/**
 * Runs `body` in the last of `parties` tasks to get here, having seen all that they wrote, and sets the counter back.
 * `pushIndex` pushes the number of the counter.
 */
export function whenLast(context: Context, f: FunctionBuilder, pushIndex: () => void, parties: number, body: () => void): void {
  const address = f.local(I32);
  pushIndex();
  f.i32(4).op(op.i32mul).i32(context.countersBase).op(op.i32add).set(address);
  f.get(address).i32(1).atomicAdd().i32(parties - 1).op(op.i32eq).if(() => {
    f.get(address).i32(0).atomicStore();
    body();
  });
}

/** Counts one of the parties that others wait for; `pushIndex` as above. */
export function arrive(context: Context, f: FunctionBuilder, pushIndex: () => void): void {
  pushIndex();
  f.i32(4).op(op.i32mul).i32(context.countersBase).op(op.i32add).i32(1).atomicAdd().op(op.drop);
}

/**
 * Waits until as many parties as `pushParties` pushes have arrived, and sees all that they wrote. Tasks are taken in order, so a task may wait for tasks of lower
 * numbers that wait for nothing: some thread is at them. Whoever knows that nobody waits any more sets the counter back.
 */
export function awaitAll(context: Context, f: FunctionBuilder, pushIndex: () => void, pushParties: () => void): void {
  const [address, parties, seen] = [f.local(I32), f.local(I32), f.local(I32)];
  pushIndex();
  f.i32(4).op(op.i32mul).i32(context.countersBase).op(op.i32add).set(address);
  pushParties();
  f.set(parties);
  f.block(() => f.loop(() => {
    f.get(address).atomicLoad().tee(seen).get(parties).op(op.i32eq).brIf(1);
    f.get(address).get(seen).atomicWait(20_000).br(0);
  }));
}
