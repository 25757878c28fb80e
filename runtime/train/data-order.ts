/**
 * The order of examples: one permutation an epoch, a pure function of seed and epoch, so that a resumed run and
 * a run on another device see the same batches. The last, incomplete batch of an epoch is left out.
 */

/** A small generator (Steele, Lea, Flood: SplitMix, 32-bit form) for host-side choices; draws inside models are Philox. */
export function splitMix(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
}

/** Numbers 0 .. n - 1 in the order of epoch `epoch` (Fisher and Yates). */
export function epochOrder(examples: number, seed: number, epoch: number): Int32Array {
  const order = Int32Array.from({ length: examples }, (_, i) => i);
  const mix = splitMix(seed);
  const next = splitMix(Math.imul(mix() ^ Math.imul(epoch + 1, 0x85ebca6b), 0xc2b2ae35) ^ mix());
  for (let i = examples - 1; i > 0; i--) {
    const j = Math.floor((next() / 4294967296) * (i + 1));
    const t = order[i];
    order[i] = order[j];
    order[j] = t;
  }
  return order;
}

/** Whole batches in an epoch. */
export function stepsPerEpoch(examples: number, batch: number): number {
  return Math.floor(examples / batch);
}

/** Gives the example numbers of any step; keeps the latest epoch's permutation. */
export function batchOrder(examples: number, batch: number, seed: number): (step: number) => Int32Array {
  const steps = stepsPerEpoch(examples, batch);
  let epoch = -1;
  let order: Int32Array = new Int32Array(0);
  return (step) => {
    const wanted = Math.floor(step / steps);
    if (wanted !== epoch) {
      order = epochOrder(examples, seed, wanted);
      epoch = wanted;
    }
    const at = (step % steps) * batch;
    return order.slice(at, at + batch);
  };
}
