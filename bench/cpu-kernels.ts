/**
 * GF/s of the CPU target's products and convolutions, with their gradients: `npm run bench`, or `npm run bench -- conv` for
 * those whose name has the word. Prints one line a kernel; not a test.
 */
import { emitWasm } from '../compiler/emit/wasm/emit-wasm.js';
import type { Kernel, KernelProgram } from '../compiler/fuse/kernel.js';
import { planMemory } from '../compiler/plan/plan-memory.js';
import { ProgramBuilder } from '../compiler/tensor/builder.js';
import type { Scalar } from '../compiler/tensor/scalar.js';
import { accumulator, add, binary, cast, float, index, int, mul, select, sub, unary } from '../compiler/tensor/scalar.js';
import { openCpuDevice } from '../runtime/device/cpu/open-cpu-device.js';

const origin = { span: null, name: 'bench' };
const sum = accumulator('f32', 0);

interface Work { readonly name: string; readonly amount: number; readonly unit: 'GF/s' | 'Gelem/s'; readonly kernels: KernelProgram }

function one(b: ProgramBuilder, kernel: Kernel): KernelProgram {
  const program = b.build();
  return { name: program.name, program, kernels: [kernel], launches: [[0]], chains: [], tails: [], materialized: program.tensors.map((t) => t.id) };
}

function product(m: number, n: number, k: number, layout: 'nn' | 'nt' | 'tn'): Work {
  const b = new ProgramBuilder('bench');
  const left = b.source('left', 'data', 'f32', layout === 'tn' ? [k, m] : [m, k], origin);
  const right = b.source('right', 'data', 'f32', layout === 'nt' ? [n, k] : [k, n], origin);
  const out = b.comprehension('f32', [m, n], null, float(0), origin);
  const kernel: Kernel = {
    kind: 'contract', name: 'k', origins: [], extents: [m, n], reduceExtents: [k], batch: [], rows: [0], columns: [1],
    left: b.read(left, layout === 'tn' ? [index(2), index(0)] : [index(0), index(2)]),
    right: b.read(right, layout === 'nt' ? [index(1), index(2)] : [index(2), index(1)]),
    stores: [{ tensor: out, value: sum }],
  };
  return { name: `${layout} ${m}x${n}x${k}`, amount: 2 * m * n * k, unit: 'GF/s', kernels: one(b, kernel) };
}

/** 3x3, stride 2, padding 1, NHWC, weights [out][3][3][in]. */
function convolution(batch: number, size: number, input: number, output: number): Work[] {
  const edge = size / 2;
  const amount = 2 * batch * edge * edge * output * 9 * input;
  const name = `${size}x${size} ${input}->${output}`;
  const tap = (at: Scalar, k: Scalar): Scalar => sub(add(mul(at, int(2)), k), int(1));
  const make = (kind: string, build: (b: ProgramBuilder) => Kernel): Work => {
    const b = new ProgramBuilder('bench');
    const kernel = build(b);
    return { name: `conv ${kind} ${name}`, amount, unit: 'GF/s', kernels: one(b, kernel) };
  };
  const sources = (b: ProgramBuilder) => ({
    x: b.source('x', 'data', 'f32', [batch, size, size, input], origin), w: b.source('w', 'data', 'f32', [output, 3, 3, input], origin),
    y: b.source('y', 'data', 'f32', [batch, edge, edge, output], origin),
  });
  const list = [make('forward', (b) => {
    const { x, w, y } = sources(b);
    return {
      kind: 'contract', name: 'k', origins: [], extents: [batch, edge, edge, output], reduceExtents: [3, 3, input], batch: [], rows: [0, 1, 2], columns: [3],
      left: b.read(x, [index(0), tap(index(1), index(4)), tap(index(2), index(5)), index(6)], float(0)),
      right: b.read(w, [index(3), index(4), index(5), index(6)]), stores: [{ tensor: y, value: sum }],
    };
  }), make('weight gradient', (b) => {
    const { x, w, y } = sources(b);
    return {
      kind: 'contract', name: 'k', origins: [], extents: [output, 3, 3, input], reduceExtents: [batch, edge, edge], batch: [], rows: [0], columns: [1, 2, 3],
      left: b.read(y, [index(4), index(5), index(6), index(0)]),
      right: b.read(x, [index(4), tap(index(5), index(1)), tap(index(6), index(2)), index(3)], float(0)), stores: [{ tensor: w, value: sum }],
    };
  })];
  if (input > 1) list.push(make('input gradient', (b) => {
    const { x, w, y } = sources(b);
    // One phase of four: rows 2i of x meet taps of one parity; the whole gradient is four of these, counted as one here.
    const at = (i: number, k: number): Scalar => binary('idiv', sub(add(index(i), int(1)), index(k)), int(2));
    const even = (i: number, k: number): Scalar => binary('eq', binary('mod', sub(add(index(i), int(1)), index(k)), int(2)), int(0));
    return {
      kind: 'contract', name: 'k', origins: [], extents: [batch, size, size, input], reduceExtents: [3, 3, output], batch: [], rows: [0, 1, 2], columns: [3],
      left: select(binary('and', even(1, 4), even(2, 5)), b.read(y, [index(0), at(1, 4), at(2, 5), index(6)], float(0)), float(0)),
      right: b.read(w, [index(6), index(4), index(5), index(3)]), stores: [{ tensor: x, value: sum }],
    };
  }));
  return list;
}

function map(name: string, n: number, f: (x: Scalar) => Scalar): Work {
  const b = new ProgramBuilder('bench');
  const x = b.source('x', 'data', 'f32', [n], origin);
  const out = b.comprehension('f32', [n], null, float(0), origin);
  return { name: `${name} of ${n}`, amount: n, unit: 'Gelem/s', kernels: one(b, { kind: 'map', name: 'k', origins: [], extents: [n], stores: [{ tensor: out, value: f(b.read(x, [index(0)])) }] }) };
}

function columns(rows: number, width: number): Work {
  const b = new ProgramBuilder('bench');
  const x = b.source('x', 'data', 'f32', [rows, width], origin);
  const out = b.comprehension('f32', [width], null, float(0), origin);
  const read = b.read(x, [index(1), index(0)]);
  return { name: `mean and variance of columns ${rows}x${width}`, amount: rows * width, unit: 'Gelem/s', kernels: one(b, { kind: 'reduce', name: 'k', origins: [], extents: [width], reduceExtents: [rows], reductions: [{ op: 'sum', body: read }, { op: 'sum', body: mul(read, read) }], stores: [{ tensor: out, value: add(sum, { ...sum, kind: 'accumulator', type: 'f32', slot: 1 }) }] }) };
}

const works: readonly Work[] = [
  product(512, 512, 512, 'nt'), product(512, 512, 512, 'nn'), product(512, 512, 512, 'tn'), product(512, 128, 256, 'nt'), product(256, 784, 512, 'tn'), product(64, 288, 12544, 'tn'),
  ...convolution(256, 28, 1, 32), ...convolution(256, 14, 32, 64), ...convolution(256, 8, 64, 128), ...convolution(256, 4, 128, 256),
  map('exp', 1 << 20, (x) => unary('exp', x)), map('gelu', 1 << 20, (x) => mul(x, add(float(0.5), mul(float(0.5), unary('erf', mul(x, float(0.7071))))))),
  map('add', 1 << 22, (x) => add(x, cast('f32', int(1)))), columns(50176, 32), columns(50176, 128),
];

const filter = process.argv[2] ?? '';
for (const threads of (process.env['THREADS'] ?? '1,2').split(',').map(Number)) {
  const device = await openCpuDevice({ threads });
  for (const work of works.filter((w) => w.name.includes(filter))) {
    const memory = planMemory([work.kernels], { alignment: 256, arenaLimit: null });
    const started = performance.now();
    const emitted = emitWasm([{ kernels: work.kernels, placements: memory.entries[0].placements }], memory.arenas, {
      target: 'wasm', maxBindingBytes: 2 ** 32, maxBindings: 1000, maxWorkgroupInvocations: 1, maxWorkgroupStorageBytes: 0,
      subgroups: false, software: true, threads, relaxedSimd: device.relaxedSimd, disabled: [],
    });
    const emitMs = performance.now() - started;
    const [tasks] = emitted.tasks[0];
    const session = await device.load({
      version: 1, arenas: memory.arenas, sources: memory.sources, code: emitted.code,
      entries: { bench: { name: 'bench', outputs: {}, peakBytes: 0, liveBytes: 0, launches: [{ kernel: 'k', class: '', origin: '', cost: { flops: 0, bytesRead: 0, bytesWritten: 0, idealBytes: 0 }, workgroups: [tasks, 1, 1], bindings: [] }] } },
    });
    for (const name of Object.keys(memory.sources)) {
      const n = memory.sources[name].shape.reduce((a, b) => a * b, 1);
      session.write(name, Float32Array.from({ length: n }, (_, i) => ((i * 7919) % 1000) / 500 - 1));
    }
    let best = Infinity;
    let spent = 0;
    for (let i = 0; i < 60 && spent < 1500; i++) {
      const t = performance.now();
      await session.run('bench');
      const ms = performance.now() - t;
      best = Math.min(best, ms);
      spent += ms;
    }
    console.log(`${threads} threads  ${work.name.padEnd(44)} ${(work.amount / best / 1e6).toFixed(2).padStart(8)} ${work.unit}  ${best.toFixed(3).padStart(9)} ms  ${String(tasks).padStart(4)} tasks  emitted in ${emitMs.toFixed(1)} ms`);
    await session.close();
  }
  await device.close();
}
