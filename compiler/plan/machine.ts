/** The machine that bytes are counted for: what a target's kernels run on, as far as traffic depends on it (`traffic.ts`). */
import type { TargetOptions } from '../api.js';
import type { ElementOf } from '../emit/measured-schedule.js';
import { choiceOf } from '../emit/wasm/choose-schedule.js';
import { stepsTogether } from '../emit/wasm/emit-wasm.js';
import { chainNestsOnCpu, nestOnCpu } from '../emit/wasm/kernel-nest.js';
import { chainNestsOnGpu, nestOnGpu } from '../emit/wgsl/kernel-nest.js';
import type { Program } from '../tensor/program.js';
import { cacheBytes, groupsAtATime } from './cache.js';
import type { Machine } from './units.js';

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
    // Software adapters run few workgroups at a time, and not in step.
    cacheBytes, sideBySide: target.software ? 1 : groupsAtATime, steps: null,
    nestOf: once((kernel) => nestOnGpu(kernel, target, elementOf)),
    chainNests: once((_, links) => chainNestsOnGpu(links, groupsAtATime)),
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
