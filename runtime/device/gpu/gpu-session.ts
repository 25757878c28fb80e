/**
 * A plan on a GPU: arenas are buffers; pipelines and bind groups are made once; a run is one command buffer, which also copies
 * the entry's small outputs to where the host can read them: reports need no submit of their own, and the copy's arrival says
 * that the run is done. At most a few runs are under way at a time.
 */
import { constantsOf } from '../../../compiler/plan/constants.js';
import type { Entry, Plan, Slot } from '../../../compiler/plan/plan.js';
import type { HostArray, Session } from '../device.js';
import { DeviceError } from '../device.js';
import { bufferUsage, mapModeRead } from './dawn.js';
import type { GpuFailure } from './gpu-failure.js';
import { errorOf } from './gpu-failure.js';
import { preparePipelines } from './gpu-pipelines.js';
import type { PreparedLaunch } from './gpu-pipelines.js';
import { asElements, fromBytes, HostMirror, wordsOf } from './host-data.js';

export type GpuSession = Session;

const runsUnderWay = 4;
const writeChunk = 64 * 1024 * 1024;
/** Outputs of at most so many bytes are copied with every run of their entry. */
const smallOutput = 1024;
const mostCopied = 16 * smallOutput;

/** Where a run's copy has an output. */
type Copied = ReadonlyMap<string, { readonly slot: Slot; readonly at: number }>;

const inWords = (bytes: number): number => Math.max(4, Math.ceil(bytes / 4) * 4);

/** The small outputs of an entry, one after the other. */
function copiedOutputs(entry: Entry): { readonly outputs: Copied; readonly bytes: number } {
  const outputs = new Map<string, { slot: Slot; at: number }>();
  let bytes = 0;
  for (const [name, slot] of Object.entries(entry.outputs)) {
    if (slot.bytes > smallOutput || bytes + slot.bytes > mostCopied) continue;
    outputs.set(name, { slot, at: bytes });
    bytes += inWords(slot.bytes);
  }
  return { outputs, bytes };
}

export async function openGpuSession(device: GPUDevice, failure: GpuFailure, plan: Plan, closed: () => void): Promise<GpuSession> {
  failure.check();
  if (plan.code.target !== 'wgsl') throw new DeviceError('validation', 'this plan was made for the CPU; compile it for this device');
  const arenas = await makeArenas(device, plan);
  let launches: ReadonlyMap<string, readonly PreparedLaunch[]>;
  try {
    launches = await preparePipelines(device, plan, plan.code.modules, arenas);
  } catch (error) {
    release(device, arenas);
    throw error;
  }
  const mirrors = new Map<string, HostMirror>();
  const underWay: Promise<unknown>[] = [];
  let open = true;

  const check = (): void => {
    if (!open) throw new DeviceError('validation', 'the session is closed');
    failure.check();
  };
  const sourceSlot = (name: string): Slot => plan.sources[name] ?? unknown('source', name, Object.keys(plan.sources));
  const entryOf = (name: string): Entry => plan.entries[name] ?? unknown('entry', name, Object.keys(plan.entries));

  const copied = new Map(Object.entries(plan.entries).map(([name, entry]) => [name, copiedOutputs(entry)]));
  /** What the latest run of each entry copied. */
  const latest = new Map<string, Promise<ArrayBuffer>>();
  /** Buffers of finished runs, to be used again; all of one size. */
  const idle: GPUBuffer[] = [];
  const copySize = Math.max(4, ...[...copied.values()].map((c) => c.bytes));
  const makeStaging = (size: number): GPUBuffer => device.createBuffer({ size, usage: bufferUsage.mapRead | bufferUsage.copyTarget });

  /** The bytes of a staging buffer, once the work queued so far is done. */
  const arrival = async (staging: GPUBuffer, bytes: number, after: (staging: GPUBuffer) => void): Promise<ArrayBuffer> => {
    try {
      await staging.mapAsync(mapModeRead);
      const copy = staging.getMappedRange().slice(0, bytes);
      staging.unmap();
      failure.check();
      after(staging);
      return copy;
    } catch (error) {
      staging.destroy();
      // A lost device rejects the mapping before its own event arrives: let that event be heard first.
      await new Promise((resolve) => setTimeout(resolve, 0));
      failure.check();
      throw error instanceof DeviceError ? error : new DeviceError('lost', `reading from the device failed: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  /** Copies a range to the host, in order with the work queued so far. */
  const readRange = (arena: number, offset: number, bytes: number): Promise<ArrayBuffer> => {
    const staging = makeStaging(inWords(bytes));
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(arenas[arena], offset, staging, 0, inWords(bytes));
    device.queue.submit([encoder.finish()]);
    return arrival(staging, bytes, (done) => done.destroy());
  };
  const readSlot = async (slot: Slot): Promise<HostArray> => fromBytes(slot.element, await readRange(slot.arena, slot.offset, slot.bytes));

  const session: GpuSession = {
    plan,
    write(source: string, data: HostArray, offset = 0): void {
      check();
      const slot = sourceSlot(source);
      let mirror = mirrors.get(source);
      if (mirror === undefined) mirrors.set(source, (mirror = new HostMirror(slot)));
      const { bytes, at } = wordsOf(source, slot, asElements(slot.element, data), offset, mirror);
      for (let start = 0; start < bytes.byteLength; start += writeChunk) {
        const part = bytes.subarray(start, Math.min(bytes.byteLength, start + writeChunk));
        device.queue.writeBuffer(arenas[slot.arena], slot.offset + at + start, part.buffer as ArrayBuffer, part.byteOffset, part.byteLength);
      }
    },
    async run(entry: string): Promise<void> {
      check();
      entryOf(entry);
      const encoder = device.createCommandEncoder({ label: entry });
      const pass = encoder.beginComputePass();
      for (const launch of launches.get(entry) ?? []) {
        pass.setPipeline(launch.pipeline);
        pass.setBindGroup(0, launch.bindGroup);
        pass.dispatchWorkgroups(...launch.workgroups);
      }
      pass.end();
      const staging = idle.pop() ?? makeStaging(copySize);
      const { outputs, bytes } = copied.get(entry) ?? { outputs: new Map<string, never>(), bytes: 0 };
      for (const { slot, at } of outputs.values()) encoder.copyBufferToBuffer(arenas[slot.arena], slot.offset, staging, at, inWords(slot.bytes));
      if (outputs.size === 0) encoder.copyBufferToBuffer(arenas[0], 0, staging, 0, 4);
      device.queue.submit([encoder.finish()]);
      const done = arrival(staging, bytes, (used) => { if (open) idle.push(used); else used.destroy(); });
      done.catch(() => undefined); // whoever waits for it, or the next run, hears of it
      latest.set(entry, done);
      underWay.push(done);
      if (underWay.length > runsUnderWay) await underWay.shift();
    },
    async readSource(source: string): Promise<HostArray> {
      check();
      return readSlot(sourceSlot(source));
    },
    async readOutput(entry: string, output: string): Promise<HostArray> {
      check();
      const { outputs } = entryOf(entry);
      const place = copied.get(entry)?.outputs.get(output);
      const run = latest.get(entry);
      if (place !== undefined && run !== undefined) return fromBytes(place.slot.element, (await run).slice(place.at, place.at + place.slot.bytes));
      return readSlot(outputs[output] ?? unknown('output', output, Object.keys(outputs)));
    },
    async finish(): Promise<void> {
      check();
      await Promise.all(underWay.splice(0));
      await readRange(0, 0, 4);
      failure.check();
    },
    async close(): Promise<void> {
      if (!open) return;
      open = false;
      await Promise.allSettled(underWay.splice(0));
      for (const staging of idle.splice(0)) staging.destroy();
      release(device, arenas);
      closed();
    },
  };
  for (const { name, values } of constantsOf(plan)) session.write(name, values);
  return session;
}

/** Destroyed buffers give their memory back at the next submit. */
function release(device: GPUDevice, arenas: readonly GPUBuffer[]): void {
  for (const arena of arenas) arena.destroy();
  device.queue.submit([]);
}

function unknown(what: string, name: string, known: readonly string[]): never {
  throw new DeviceError('validation', `the plan has no ${what} \`${name}\`; it has ${known.join(', ')}`);
}

async function makeArenas(device: GPUDevice, plan: Plan): Promise<GPUBuffer[]> {
  const sizes = (plan.arenas.length === 0 ? [{ bytes: 4 }] : plan.arenas).map((arena) => Math.max(256, Math.ceil(arena.bytes / 256) * 256));
  const largest = Math.max(...sizes);
  if (largest > device.limits.maxBufferSize) {
    throw new DeviceError('out-of-memory', `the plan needs ${largest} bytes in one buffer and the device allows ${device.limits.maxBufferSize}. Use a smaller batch`);
  }
  device.pushErrorScope('validation');
  device.pushErrorScope('out-of-memory');
  const arenas = sizes.map((size, i) => device.createBuffer({ label: `arena ${i}`, size, usage: bufferUsage.storage | bufferUsage.copySource | bufferUsage.copyTarget }));
  const errors = [await device.popErrorScope(), await device.popErrorScope()];
  for (const error of errors) {
    if (error === null) continue;
    release(device, arenas);
    throw errorOf(error);
  }
  return arenas;
}
