/**
 * Puts a step's numbers and examples where the plan reads them: resident data once, then the order of each batch;
 * streamed inputs are decoded one batch ahead, while the device works on the one before; a batch in chunks is sent chunk by chunk.
 */
import type { Manifest, ModelInput } from '../../compiler/plan/manifest.js';
import { allocateInput, elementsOf, type DataSet } from '../data/data-set.js';
import type { HostArray, Session } from '../device/device.js';
import { batchOrder } from './data-order.js';

export interface Feed {
  /** Writes everything step `step` (from 0) reads. */
  write(step: number): Promise<void>;
  /** Writes a chunk of the streamed inputs of the step written last. */
  send(chunk: number): void;
}

/** Whether a session can hold the data set whole: its plan has room for it. */
function isResident(session: Session, manifest: Manifest): boolean {
  return manifest.inputs.some((i) => `data.${i.name}` in session.plan.sources);
}

export function createFeed(session: Session, manifest: Manifest, data: DataSet, binding: ReadonlyMap<string, ModelInput>, seed: number): Feed {
  const order = batchOrder(data.train.examples, manifest.batch, seed);
  const has = (name: string): boolean => name in session.plan.sources;
  const one = (value: number): Int32Array => Int32Array.of(value);
  if (has('clock.seed')) session.write('clock.seed', one(seed));
  if (isResident(session, manifest)) {
    for (const [model, input] of binding) if (has(`data.${model}`)) session.write(`data.${model}`, data.train.input(input.name));
  }
  const streamed = [...binding].filter(([model]) => has(`batch.${model}`) || has(`chunk.${model}`));
  let current: ReadonlyMap<string, HostArray> = new Map();
  let ahead: { readonly step: number; readonly rows: Promise<ReadonlyMap<string, HostArray>> } | null = null;
  const fetch = (step: number): Promise<ReadonlyMap<string, HostArray>> => {
    const work = readRows(order(step), streamed, data, manifest.batch);
    work.catch(() => undefined); // awaited, and reported, by the step that needs it
    return work;
  };
  return {
    write: async (step) => {
      const indices = order(step);
      if (has('clock.step')) session.write('clock.step', one(step));
      if (has('batch.order')) session.write('batch.order', indices);
      if (has('batch.example')) session.write('batch.example', indices);
      if (streamed.length === 0) return;
      current = await (ahead !== null && ahead.step === step ? ahead.rows : fetch(step));
      for (const [model, values] of current) if (has(`batch.${model}`)) session.write(`batch.${model}`, values);
      ahead = { step: step + 1, rows: fetch(step + 1) };
    },
    send: (chunk) => {
      for (const [model, input] of streamed) {
        const rows = current.get(model);
        const size = manifest.chunk * elementsOf(input);
        if (rows !== undefined && has(`chunk.${model}`)) session.write(`chunk.${model}`, rows.subarray(chunk * size, (chunk + 1) * size));
      }
    },
  };
}

async function readRows(indices: Int32Array, streamed: readonly (readonly [string, ModelInput])[], data: DataSet, batch: number): Promise<ReadonlyMap<string, HostArray>> {
  const rows = new Map(streamed.map(([model, input]) => [model, allocateInput(input, batch)]));
  const into: Record<string, HostArray> = {};
  for (const [model, input] of streamed) {
    const values = rows.get(model);
    if (values !== undefined) into[input.name] = values;
  }
  await data.train.rows(indices, into);
  return rows;
}
