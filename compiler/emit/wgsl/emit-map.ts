/** Elementwise and gather kernels: a thread a point. A u8 result is written four points, one word, at a time. */
import type { MapKernel } from '../../fuse/kernel.js';
import { sizeOf } from '../../tensor/program.js';
import type { Emitter } from './kernel-text.js';
import { writeStores } from './kernel-text.js';
import { mapThreads } from './schedule.js';

export const emitMap: Emitter<MapKernel> = (kernel, writer, limits) => {
  const points = sizeOf(kernel.extents);
  const axes = kernel.extents.map((_, i) => i);
  const bytes = kernel.stores.some((store) => writer.elementOf(store.tensor) === 'u8');
  const threads = mapThreads(points, limits);
  const body = writer.root.body;
  const work = bytes ? Math.ceil(points / 4) : points;
  if (bytes) {
    body.items.push(`let word = group * ${threads} + thread;`, `if (word >= ${work}) { return; }`);
    const packed = kernel.stores.map((store) => {
      const name = writer.name('packed');
      if (writer.elementOf(store.tensor) === 'u8') body.items.push(`var ${name} = 0u;`);
      return name;
    });
    const lane = writer.nested(body, `for (var byte = 0; byte < ${Math.min(4, points)}; byte++)`);
    lane.block.items.push(`let point = min(word * 4 + byte, ${points - 1});`);
    writer.bindDecoded(lane, 'point', axes, kernel.extents, 'i');
    const environment = writer.environment(lane);
    const values = kernel.stores.map((store) => writer.variable(store.value, environment, 'result'));
    kernel.stores.forEach((store, i) => {
      const { type } = store.value;
      if (writer.elementOf(store.tensor) !== 'u8') { writer.store(lane.body, store.tensor, 'point', values[i], type); return; }
      const number = type === 'bool' ? `select(0u, 1u, ${values[i]})` : `(bitcast<u32>(${type === 'f32' ? `i32(${values[i]})` : values[i]}) & 255u)`;
      lane.body.items.push(`if (word * 4 + byte < ${points}) { ${packed[i]} |= ${number} << u32(byte * 8); }`);
    });
    kernel.stores.forEach((store, i) => { if (writer.elementOf(store.tensor) === 'u8') writer.storeWord(body, store.tensor, 'word', packed[i]); });
  } else {
    const frame = writer.frame(body, { name: 'point', axes, extents: kernel.extents });
    frame.block.items.push(`let point = group * ${threads} + thread;`, `if (point >= ${points}) { return; }`);
    writer.bindDecoded(frame, 'point', axes, kernel.extents, 'i');
    const [{ row, tensor }] = kernel.stores;
    const environment = writer.environment(frame);
    if (row === undefined) writeStores(kernel.stores, writer, environment, frame.body, 'point');
    else {
      const length = sizeOf(kernel.extents.slice(1));
      const name = writer.variable(row, environment, 'row');
      const there = writer.nested(frame.body, `if (${name} >= 0 && ${name} < ${writer.shapeOf(tensor)[0]})`);
      writeStores(kernel.stores, writer, writer.environment(frame, there), there.body, `${name} * ${length} + point % ${length}`);
    }
  }
  return { threads, groups: Math.ceil(work / threads), shared: [], builtins: [], features: [] };
};
