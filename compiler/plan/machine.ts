/** The machine that bytes are counted for: what a target's kernels run on, as far as traffic depends on it (`traffic.ts`). */
import type { TargetOptions } from '../api.js';
import type { ElementOf } from '../emit/measured-schedule.js';
import { choiceOf } from '../emit/wasm/choose-schedule.js';
import { stepsTogether } from '../emit/wasm/emit-wasm.js';
import { chainNestsOnCpu, nestOnCpu } from '../emit/wasm/kernel-nest.js';
import { chainNestsOnGpu, nestOnGpu } from '../emit/wgsl/kernel-nest.js';
import type { Program } from '../tensor/program.js';
import type { Machine } from './units.js';

/** The last cache before memory: most processors and discrete GPUs of today have as much or more of it. */
const cacheBytes = 16 << 20;

/** Workgroups that a GPU of the middle runs at a time. Software adapters run few, and not in step. */
const sideBySide = 128;

export function machineOf(target: TargetOptions, program: Program): Machine {
  const elementOf: ElementOf = (id) => program.tensors[id].element;
  if (target.target === 'wasm') {
    const choice = choiceOf(target);
    return {
      cacheBytes, sideBySide: 1, steps: stepsTogether, nestOf: once((kernel) => nestOnCpu(kernel, choice, elementOf)),
      chainNests: once((chain, links) => chainNestsOnCpu(chain, links, choice, elementOf)),
    };
  }
  return {
    cacheBytes, sideBySide: target.software ? 1 : sideBySide, steps: null,
    nestOf: once((kernel) => nestOnGpu(kernel, target, elementOf)),
    chainNests: once((_, links) => chainNestsOnGpu(links, sideBySide)),
  };
}

/** The function, called once for each first argument: the others follow from it. */
function once<K extends object, A extends readonly unknown[], V>(f: (key: K, ...rest: A) => V): (key: K, ...rest: A) => V {
  const known = new Map<K, V>();
  return (key, ...rest) => {
    const found = known.get(key) ?? f(key, ...rest);
    known.set(key, found);
    return found;
  };
}
