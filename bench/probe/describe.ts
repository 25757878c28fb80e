/** The figures of a GPU as lines for people. */
import type { DeviceProbe } from './device-probe.js';
import type { ProductRate } from './products.js';

const unitText = (u: { readonly element: string; readonly rows: number; readonly columns: number; readonly depth: number }): string => `${u.element} ${u.rows}x${u.columns}x${u.depth}`;

const rate = (gigaflops: number): string => (gigaflops >= 1000 ? `${(gigaflops / 1000).toFixed(1)} TFLOP/s` : `${gigaflops.toFixed(1)} GFLOP/s`);

/** The fastest right products of an element type, and what was refused or wrong. */
function productLines(products: readonly ProductRate[], element: ProductRate['element'], size: number): readonly string[] {
  const all = products.filter((p) => p.element === element);
  if (all.length === 0) return [];
  const right = all.filter((p) => p.problem === null).sort((a, b) => b.gigaflopsPerSecond - a.gigaflopsPerSecond);
  const failed = all.filter((p) => p.problem !== null);
  return [
    `  product of ${size}x${size} in ${element}, the best of ${all.length} schedules`,
    ...right.slice(0, 3).map((p) => `    ${rate(p.gigaflopsPerSecond).padStart(14)}  ${p.schedule}`),
    ...failed.slice(0, 3).map((p) => `    ${'failed'.padStart(14)}  ${p.schedule}: ${p.problem ?? ''}`),
    ...(failed.length > 3 ? [`    and ${failed.length - 3} more failed`] : []),
  ];
}

export function describeProbe(probe: DeviceProbe): readonly string[] {
  const { adapter, costs, limits, matrixUnits, numerics } = probe;
  const limit = (name: string): string => String(limits[name] ?? '?');
  const readback = Object.entries(costs.readback).map(([bytes, ms]) => `${Number(bytes) >= 1 << 20 ? `${Number(bytes) >> 20} MiB` : `${bytes} B`} ${ms.toFixed(3)} ms`).join(', ');
  return [
    probe.name,
    `  adapter ${adapter.vendor} ${adapter.architecture} ${adapter.device}; driver ${adapter.driver}; subgroups ${adapter.subgroups?.join(' to ') ?? 'none'}`,
    `  features ${probe.features.join(' ')}`,
    `  limits: ${limit('maxStorageBufferBindingSize')} B a binding, ${limit('maxStorageBuffersPerShaderStage')} bindings, ${limit('maxComputeInvocationsPerWorkgroup')} threads and ${limit('maxComputeWorkgroupStorageSize')} B a workgroup`,
    `  matrix units: ${matrixUnits.offered.map((u) => `${unitText(u)}${matrixUnits.proven.some((p) => unitText(p) === unitText(u)) ? '' : ' (not right)'}`).join(', ') || 'none that sum in f32'}`,
    ...productLines(probe.products, 'f32', probe.productSize),
    ...productLines(probe.products, 'f16', probe.productSize),
    `  memory: buffer copy ${costs.copyBuffer.toFixed(1)} GB/s, kernel copy ${costs.copyKernel.toFixed(1)}, triad ${costs.triadKernel.toFixed(1)}; upload ${costs.upload.toFixed(2)} GB/s`,
    `  a dispatch ${costs.dispatch.toFixed(2)} us on the device (${costs.dispatchChanging.toFixed(2)} changing pipelines), ${costs.encode.toFixed(2)} us to encode (${costs.encodeChanging.toFixed(2)})`,
    `  a submit ${costs.submit.toFixed(1)} us, a bind group ${costs.bindGroup.toFixed(1)} us, a pipeline ${costs.pipeline.toFixed(1)} ms (${costs.pipelineOfMany.toFixed(1)} each of many)`,
    `  read back: ${readback}`,
    `  numbers: x is ${numerics.inputs.join(' ')}`,
    ...Object.entries(numerics.results).map(([expression, values]) => `    ${expression.padEnd(46)} ${values.join(' ')}`),
  ];
}
