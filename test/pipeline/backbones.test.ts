/**
 * The library's large backbones with all of its views and every optimizer: their training compiles for both targets (the
 * WGSL is checked by Dawn's null backend), and networks of the same blocks, only narrow, step as the float64 interpreter does.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CompiledModel, TargetOptions } from '../../compiler/api.js';
import { buildTraining } from '../../compiler/lower/training-programs.js';
import { compileTraining, loadProgram } from '../../compiler/pipeline.js';
import { sizeOf } from '../../compiler/tensor/program.js';
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
use std.vision { resnet18, resnet34, resnet50, resnet101, resnet152, resnet_stem, basic_block, bottleneck, mlp }
use std.regnet { regnet_y, regnet_block }
use std.vit { vit, vision_transformer }
use std.convnext { convnext, convnext_block }
use std.layers { global_average, conv }
use std.energies { nt_xent }
use std.optimizers { sgd, adamw, lars }
use std.views { random_resized_crop, crop, flip, shift, erase, color_jitter, grayscale, gaussian_blur, solarize, noise, normalize }
view colours(x: [H, W, C]) = x |> color_jitter(0.8, 0.8, 0.8, 0.2) |> grayscale |> gaussian_blur |> solarize |> noise(0.02) |> normalize
view strong(x: [H, W, C]) = x |> random_resized_crop(H, W, area: 0.08..1.0) |> flip |> colours
view weak(x: [H, W, C]) = x |> crop(H) |> shift(2) |> erase(H / 4) |> colours
backbone narrow(stem: string in ["small", "imagenet"] = "small")(x: [H, W, C]) -> [16] {
  x |> resnet_stem(stem) |> basic_block(4) |> basic_block(4) |> bottleneck(4, stride: 2) |> bottleneck(4) |> global_average
}
backbone narrow_regnet(x: [H, W, C]) -> [8] = x |> resnet_stem(width: 4) |> regnet_block(8, 4, stride: 2) |> regnet_block(8, 4) |> global_average
backbone narrow_convnext(x: [H, W, C]) -> [6] = x |> conv(6, size: 4, stride: 4, pad: 0) |> convnext_block(0.5) |> convnext_block(0.5) |> global_average
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
  ['narrow_regnet', optimizers[0], 8], ['vision_transformer(8, 2, 2, 4)', optimizers[1], 8], ['narrow_convnext', optimizers[1], 8],
  ['narrow()', optimizers[0], 8], ['narrow()', optimizers[1], 8], ['narrow("imagenet")', optimizers[1], 16], ['narrow("imagenet")', optimizers[2], 16],
] as const).slice(0, everything ? 9 : 5);

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

/**
 * Parameters in millions as published, with a linear classifier of 1,000 classes: He et al. and torchvision for ResNets; Radosavovic
 * et al. (pycls model zoo) and Goyal et al. for RegNets; timm for vision transformers; Liu et al. for ConvNeXt.
 */
const published = ([
  ['resnet50("imagenet")', 25.557, 2048], ['vit("small")', 22.051, 384], ['convnext("tiny")', 28.589, 768], ['regnet_y("200MF")', 3.2, 368],
  ['regnet_y("256GF")', 1282.6, 10444],
  ['resnet18("imagenet")', 11.690, 512], ['resnet34("imagenet")', 21.798, 512], ['resnet101("imagenet")', 44.549, 2048], ['resnet152("imagenet")', 60.193, 2048],
  ['vit("tiny")', 5.717, 192], ['vit("base")', 86.568, 768], ['vit("large")', 304.327, 1024],
  ['convnext("small")', 50.224, 768], ['convnext("base")', 88.591, 1024], ['convnext("large")', 197.767, 1536],
  ['regnet_y("400MF")', 4.3, 440], ['regnet_y("600MF")', 6.1, 608], ['regnet_y("800MF")', 6.3, 768], ['regnet_y("1.6GF")', 11.2, 888],
  ['regnet_y("3.2GF")', 19.4, 1512], ['regnet_y("4GF")', 20.6, 1088], ['regnet_y("6.4GF")', 30.6, 1296], ['regnet_y("8GF")', 39.2, 2016],
  ['regnet_y("12GF")', 51.8, 2240], ['regnet_y("16GF")', 83.6, 3024], ['regnet_y("32GF")', 145.0, 3712], ['regnet_y("128GF")', 644.8, 7392],
  ['regnet_y("10B")', 9352, 28280],
] as const).slice(0, everything ? 28 : 5);

it.each(published)('%s has %f million parameters', (net, millions, width) => {
  const name = net.slice(0, net.indexOf('('));
  const library = name.startsWith('resnet') ? 'vision' : name === 'regnet_y' ? 'regnet' : name;
  const loaded = loadProgram('main.ssl', memoryReader({ 'main.ssl': `
use std.${library} { ${name} }
model m() { input x: u8[H, W, C]; net f = ${net}; minimize a: mean(f(x)^2); represent f(x) }
` }));
  const { manifest } = buildTraining(loaded, {
    model: null, set: {}, steps: 1, resident: true, embedBatch: 1, target: cpu,
    data: { examples: 2, classes: null, inputs: [{ name: 'x', element: 'u8', shape: [224, 224, 3] }] },
  });
  expect(manifest.embeddingSize).toBe(width);
  const parameters = manifest.parameters.reduce((n, p) => n + sizeOf(p.shape), 0) + 1000 * width + 1000;
  const digits = String(millions).includes('.') ? (String(millions).split('.')[1]?.length ?? 0) : 0;
  expect(Math.abs(parameters / 1e6 - millions)).toBeLessThanOrEqual(0.501 * 10 ** -digits);
}, 60_000);
