/**
 * The library's large backbones with all of its views and every optimizer: their training compiles for both targets (the
 * WGSL is checked by Dawn's null backend), and networks of the same blocks, only narrow, step as the float64 interpreter does.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CompiledModel, TargetOptions } from '../../compiler/api.js';
import { compileTraining, loadProgram } from '../../compiler/pipeline.js';
import type { Device } from '../../runtime/device/device.js';
import { webAssembly } from '../../runtime/device/cpu/webassembly.js';
import { openCpuDevice } from '../../runtime/device/cpu/open-cpu-device.js';
import { memoryReader } from '../lower/harness.js';
import { softwareOptions } from '../wgsl/harness.js';
import { acceptModules, nullDevice } from './null-device.js';
import type { NullDevice } from './null-device.js';
import { batch, expectSameSteps } from './steps.js';

const cpu: TargetOptions = {
  target: 'wasm', maxBindingBytes: 2 ** 32, maxBindings: 1000, maxWorkgroupInvocations: 256, maxWorkgroupStorageBytes: 32768,
  subgroups: false, software: false, threads: 2, relaxedSimd: false, disabled: [],
};

const optimizers = ['sgd(rate: 0.05, nesterov: true)', 'adamw(rate: 0.001, skip: [bias, norm])', 'lars(rate: 0.3)'] as const;

/** A training on 32 x 32 colour pictures with every view of the library. */
function text(net: string, width: number, optimizer: string): string {
  return `
use std.vision { resnet18, resnet34, resnet50, resnet_stem, basic_block, bottleneck, mlp }
use std.layers { global_average }
use std.energies { nt_xent }
use std.optimizers { sgd, adamw, lars }
use std.views { random_resized_crop, crop, flip, shift, erase, color_jitter, grayscale, gaussian_blur, solarize, noise, normalize }
view colours(x: [H, W, C]) = x |> color_jitter(0.8, 0.8, 0.8, 0.2) |> grayscale |> gaussian_blur |> solarize |> noise(0.02) |> normalize
view strong(x: [H, W, C]) = x |> random_resized_crop(H, W, area: 0.08..1.0) |> flip |> colours
view weak(x: [H, W, C]) = x |> crop(H) |> shift(2) |> erase(H / 4) |> colours
backbone narrow(stem: string in ["small", "imagenet"] = "small")(x: [H, W, C]) -> [16] {
  x |> resnet_stem(stem) |> basic_block(4) |> basic_block(4) |> bottleneck(4, stride: 2) |> bottleneck(4) |> global_average
}
model large() {
  input x: u8[H, W, C]
  view a ~ strong(x)
  view b ~ weak(x)
  net f = ${net}
  net g = mlp(${width}, 16)
  minimize contrast: nt_xent(0.5)(g(f(a)), g(f(b)))
  represent f(x)
}
train large {
  batch ${batch}
  optimizer ${optimizer}
}
`;
}

function compile(source: string, side: number, target: TargetOptions): CompiledModel {
  const loaded = loadProgram('main.ssl', memoryReader({ 'main.ssl': source }));
  expect(loaded.diagnostics).toEqual([]);
  return compileTraining(loaded, {
    model: null, set: {}, steps: 8, resident: true, embedBatch: batch, target,
    data: { examples: 12, classes: null, inputs: [{ name: 'x', element: 'u8', shape: [side, side, 3] }] },
  });
}

/** Everything takes minutes on a small machine: without `CI` in the environment, those that have the most in them. */
const everything = (process.env['CI'] ?? '') !== '';

const backbones = ([
  ['resnet50()', 2048, optimizers[2]], ['resnet18("imagenet")', 512, optimizers[1]],
  ['resnet18()', 512, optimizers[0]], ['resnet34()', 512, optimizers[2]], ['resnet34("imagenet")', 512, optimizers[0]], ['resnet50("imagenet")', 2048, optimizers[1]],
] as const).slice(0, everything ? 6 : 1);

const narrow = ([
  ['narrow()', optimizers[2], 8], ['narrow("imagenet")', optimizers[0], 16],
  ['narrow()', optimizers[0], 8], ['narrow()', optimizers[1], 8], ['narrow("imagenet")', optimizers[1], 16], ['narrow("imagenet")', optimizers[2], 16],
] as const).slice(0, everything ? 6 : 2);

describe('the training of a backbone', () => {
  let checker: NullDevice;
  beforeAll(async () => { checker = await nullDevice(); });
  afterAll(() => checker.close());

  it.each(backbones)('%s compiles for both targets', async (net, width, optimizer) => {
    const source = text(net, width, optimizer);
    const { plan } = compile(source, 32, cpu);
    if (plan.code.target !== 'wasm') throw new Error('not WebAssembly');
    await webAssembly.compile(Buffer.from(plan.code.binary, 'base64'));
    await acceptModules(checker, compile(source, 32, softwareOptions).plan, softwareOptions);
  }, 120_000);
});

describe('a step of a narrow network', () => {
  let device: Device;
  beforeAll(async () => { device = await openCpuDevice({ threads: 2, exact: true }); });
  afterAll(async () => { await device.close(); });

  it.each(narrow)('%s with %s agrees with the interpreter', async (net, optimizer, side) => {
    const compiled = compile(text(net, 16, optimizer), side, cpu);
    await expectSameSteps(device, compiled, { name: 'large', inputs: ['x'], channels: 3, side, set: {} });
  }, 120_000);
});
