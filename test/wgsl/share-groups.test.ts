/** The workgroups of a dispatch and the kernels they run: each kernel's once each, in order, and evenly mixed. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shareGroups } from '../../compiler/emit/wgsl/share-groups.js';

/** The kernel and its workgroup for every workgroup of a dispatch, by running the statements. */
function assigned(counts: readonly number[]): readonly (readonly [kernel: number, group: number])[] {
  const lines = shareGroups(counts, (kernel, group) => `found = [${kernel}, ${group}];`);
  // Division of whole numbers, as WGSL has it.
  const body = lines.map((line) => line.replace(/\((\(?\w+(?: \+ 1\))? \* \d+)\) \/ (\d+)/g, 'Math.floor(($1) / $2)').replaceAll('return;', 'return found;')).join('\n');
  const run = new Function('group', `let found = []; ${body} return found;`) as (group: number) => readonly [number, number];
  return Array.from({ length: counts.reduce((n, c) => n + c, 0) }, (_, group) => run(group));
}

describe('workgroups shared by kernels', () => {
  it('are each kernel\'s own, in its order', () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 5 }), (counts) => {
      const all = assigned(counts);
      counts.forEach((count, k) => expect(all.filter(([kernel]) => kernel === k).map(([, group]) => group)).toEqual(Array.from({ length: count }, (_, i) => i)));
    }));
  });

  it('are mixed: of the first ones a kernel has its share', () => {
    const counts = [30, 90, 15];
    const all = assigned(counts);
    counts.forEach((count, k) => {
      all.forEach((_, g) => {
        const before = all.slice(0, g).filter(([kernel]) => kernel === k).length;
        expect(Math.abs(before - (g * count) / all.length)).toBeLessThan(2);
      });
    });
  });

  it('come one kernel after the other where there are too many to multiply', () => {
    expect(shareGroups([3_000_001, 2_000_003], (kernel, group) => `part_${kernel}(${group});`)).toEqual(['if (group < 3000001) { part_0(group); return; }', 'let group_1 = group - 3000001;', 'part_1(group_1);']);
  });
});
