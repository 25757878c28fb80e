/**
 * Which kernel of a dispatch a workgroup runs. Kernels share the workgroups evenly, like lines in a drawing of dots (Bresenham, 1965): of
 * any run of workgroups each kernel has its share, so those that read the same go through it together and memory gives it once.
 */

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

const largest = 2 ** 31;

/**
 * Statements at the end of `main`, where `group` is below the sum of `counts`. Of `total` workgroups, the first g have floor(g count / total) of
 * a kernel with `count`; the workgroup at which that number rises is the kernel's. The others are numbered anew and shared by the other kernels.
 * `call` runs a kernel for a workgroup of its own.
 */
export function shareGroups(counts: readonly number[], call: (kernel: number, group: string) => string): readonly string[] {
  const lines: string[] = [];
  let group = 'group';
  let total = counts.reduce((n, c) => n + c, 0);
  counts.forEach((count, k) => {
    if (k === counts.length - 1) { lines.push(call(k, group)); return; }
    const common = gcd(count, total);
    const [share, of] = [count / common, total / common];
    const next = `group_${k + 1}`;
    if (share * total < largest) {
      lines.push(`let before_${k} = (${group} * ${share}) / ${of};`, `if (((${group} + 1) * ${share}) / ${of} > before_${k}) { ${call(k, `before_${k}`)} return; }`, `let ${next} = ${group} - before_${k};`);
    } else {
      // Too many to multiply: one after the other.
      lines.push(`if (${group} < ${count}) { ${call(k, group)} return; }`, `let ${next} = ${group} - ${count};`);
    }
    group = next;
    total -= count;
  });
  return lines;
}
