/** Parts of a sum that several tasks have: each leaves its own in shared memory, and the last task of a block adds them in order. */
import type { FunctionBuilder, Local } from './binary.js';
import { I32, op, simd } from './binary.js';
import type { Context } from './context.js';
import { whenLast } from './context.js';

export interface Parts {
  /** The number of the block and of the part, in locals, and how many parts a block has. */
  readonly block: Local;
  readonly part: Local;
  readonly parts: number;
  /** Bytes of a part, and those in use, multiples of 16. */
  readonly bytes: number;
  readonly pushBytes: () => void;
  /** Where a task's own part lies, and in the end the sum. */
  readonly result: Local;
}

/** Runs `then` in the last task of each block, when `result` holds the sum of all parts. Parts lie from `partialsBase` on, those of a block together. */
export function addParts(context: Context, f: FunctionBuilder, { block, part, parts, bytes, pushBytes, result }: Parts, then: () => void): void {
  if (parts === 1) {
    then();
    return;
  }
  const [from, to, n] = [f.local(I32), f.local(I32), f.local(I32)];
  const copy = (body: () => void): void => { f.i32(0).set(n); f.count(n, pushBytes, 16, body); };
  f.get(block).i32(parts).op(op.i32mul).get(part).op(op.i32add).i32(bytes).op(op.i32mul).i32(context.partialsBase).op(op.i32add).set(to);
  copy(() => f.get(to).get(n).op(op.i32add).get(result).get(n).op(op.i32add).loadV().storeV());
  whenLast(context, f, () => f.get(block), parts, () => {
    f.get(block).i32(parts * bytes).op(op.i32mul).i32(context.partialsBase).op(op.i32add).set(from);
    copy(() => {
      f.get(result).get(n).op(op.i32add);
      for (let s = 0; s < parts; s++) {
        f.get(from).get(n).op(op.i32add);
        f.loadV(simd.load, s * bytes);
        if (s > 0) f.simd(simd.f32add);
      }
      f.storeV();
    });
    then();
  });
}
