/**
 * The figures of a GPU that say what any program could do on it, ours or not: `node device-probe.mjs DEVICE` prints one line of JSON.
 * Software adapters get small sizes.
 */
import { openDawn, requestAdapter } from '../../runtime/device/gpu/dawn.js';
import { requiredLimits } from '../../runtime/device/gpu/gpu-limits.js';
import { matrixFeature, offeredUnits } from '../../runtime/device/gpu/matrix-units.js';
import { gpuOptionsFor, openDevice } from '../../runtime/device/select.js';
import type { MatrixUnit } from '../../compiler/api.js';
import { targetOf } from '../../cli/device.js';
import type { Costs } from './costs.js';
import { measureCosts } from './costs.js';
import type { Numerics } from './numerics.js';
import { measureNumerics } from './numerics.js';
import type { ProductRate } from './products.js';
import { measureProducts } from './products.js';

export interface DeviceProbe {
  readonly name: string;
  readonly adapter: { readonly vendor: string; readonly architecture: string; readonly device: string; readonly driver: string; readonly subgroups: readonly [number, number] | null };
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  /** What the adapter says it has, and what has multiplied right. */
  readonly matrixUnits: { readonly offered: readonly MatrixUnit[]; readonly proven: readonly MatrixUnit[] };
  readonly productSize: number;
  readonly products: readonly ProductRate[];
  readonly costs: Costs;
  readonly numerics: Numerics;
}

async function probeDevice(choice: string): Promise<DeviceProbe> {
  const options = await gpuOptionsFor(choice);
  if (options === null) throw new Error('the CPU target is no GPU');
  const device = await openDevice(choice);
  const quick = device.limits.software;
  const size = quick ? 256 : 4096;
  const { name, limits: { matrixUnits } } = device;
  const products = await measureProducts(device, targetOf(device), size, quick ? 5 : 45);
  await device.close();
  // The driver by itself: a device of its own, with nothing of sslc's on it.
  const adapter = await requestAdapter(await openDawn({ backend: options.backend ?? null, adapter: options.adapter ?? null }));
  if (adapter === null) throw new Error('the adapter is gone');
  const { info } = adapter;
  const limits: Record<string, number> = {};
  for (const limit in adapter.limits) {
    const value: unknown = Reflect.get(adapter.limits, limit);
    if (typeof value === 'number') limits[limit] = value;
  }
  const features = [...adapter.features].sort();
  const offered = adapter.features.has(matrixFeature) ? offeredUnits(info.subgroupMatrixConfigs ?? []) : [];
  const bare = await adapter.requestDevice({ requiredLimits: requiredLimits(adapter) });
  const costs = await measureCosts(bare, quick);
  const numerics = await measureNumerics(bare);
  bare.destroy();
  return {
    name, features, limits, matrixUnits: { offered, proven: matrixUnits?.shapes ?? [] }, productSize: size, products, costs, numerics,
    adapter: { vendor: info.vendor, architecture: info.architecture, device: info.device, driver: info.description, subgroups: info.subgroupMinSize === undefined || info.subgroupMaxSize === undefined ? null : [info.subgroupMinSize, info.subgroupMaxSize] },
  };
}

const answer = await probeDevice(process.argv[2] ?? 'gpu').catch((error: unknown) => ({ error: error instanceof Error ? error.message : String(error) }));
process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit(0));
