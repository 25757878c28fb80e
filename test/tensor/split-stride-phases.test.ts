import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fuse } from '../../compiler/fuse/fuse.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { differentiate } from '../../compiler/tensor/differentiate.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import { printProgram } from '../../compiler/tensor/print.js';
import type { Program } from '../../compiler/tensor/program.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import type { Scalar, TensorId } from '../../compiler/tensor/scalar.js';
import { add, binary, boolean, float, index, int, mul, read, select, sub, unary, visit } from '../../compiler/tensor/scalar.js';
import { simplify } from '../../compiler/tensor/simplify.js';
import { splitStridePhases } from '../../compiler/tensor/split-stride-phases.js';
import { verify } from '../../compiler/tensor/verify.js';
import { numbers, origin, weighted } from './check-gradient.js';

/** Terms that all sums of a program add up. */
function terms(program: Program): number {
  return program.tensors.reduce((n, t) => n + (t.kind === 'comprehension' && t.reduce !== null ? sizeOf(t.shape) * sizeOf(t.reduce.extents) : 0), 0);
}

/** Divisibility conditions left in sums. */
function conditions(program: Program): number {
  const isRemainder = (s: Scalar): boolean => s.kind === 'binary' && s.op === 'mod';
  let count = 0;
  for (const t of program.tensors) {
    if (t.kind !== 'comprehension' || t.reduce === null) continue;
    visit(t.body, (s) => { if (s.kind === 'binary' && (s.op === 'eq' || s.op === 'ne') && (isRemainder(s.a) || isRemainder(s.b))) count++; });
  }
  return count;
}

/** Splits, and checks that every output keeps its value. */
function split(program: Program, inputs: Readonly<Record<string, readonly number[]>>): Program {
  const result = splitStridePhases(program);
  verify(result);
  verify(simplify(result));
  const expected = interpret(program, inputs).outputs;
  for (const [name, values] of interpret(result, inputs).outputs) {
    const before = expected.get(name) ?? [];
    expect(values.length).toBe(before.length);
    for (let i = 0; i < values.length; i++) expect(Math.abs(values[i] - before[i]), `${name}[${i}]\n${printProgram(result)}`).toBeLessThan(1e-9);
  }
  return result;
}

interface Axis { readonly size: number; readonly taps: number; readonly stride: number; readonly pad: number; readonly dilation: number }

const axis: fc.Arbitrary<Axis> = fc.record({
  size: fc.integer({ min: 1, max: 9 }), taps: fc.integer({ min: 1, max: 5 }), stride: fc.integer({ min: 1, max: 5 }),
  pad: fc.integer({ min: 0, max: 2 }), dilation: fc.integer({ min: 1, max: 3 }),
}).filter((a) => outputsOf(a) >= 1);

const reach = (a: Axis): number => (a.taps - 1) * a.dilation;
const outputsOf = (a: Axis): number => Math.floor((a.size + 2 * a.pad - reach(a) - 1) / a.stride) + 1;

/** The gradient of a convolution by its input: the program after simplification, as the pipeline has it. */
function inputGradient(axes: readonly Axis[]): { readonly program: Program; readonly inputs: Readonly<Record<string, readonly number[]>> } {
  const b = new ProgramBuilder('p');
  const n = axes.length;
  const [channels, filters] = [2, 3];
  const x = b.source('x', 'data', 'f32', [2, ...axes.map((a) => a.size), channels], origin);
  const w = b.source('w', 'data', 'f32', [...axes.map((a) => a.taps), channels, filters], origin);
  const outputs = axes.map(outputsOf);
  const first = n + 2;
  const at = axes.map((a, k) => sub(add(mul(index(1 + k), int(a.stride)), mul(index(first + k), int(a.dilation))), int(a.pad)));
  const body = mul(b.read(x, [index(0), ...at, index(first + n)], float(0)), b.read(w, [...axes.map((_, k) => index(first + k)), index(first + n), index(n + 1)]));
  const y = b.comprehension('f32', [2, ...outputs, filters], { op: 'sum', extents: [...axes.map((a) => a.taps), channels] }, body, origin);
  const [gradient] = differentiate(b, weighted(b, y), [x]);
  b.output('gradient', gradient);
  const sizes: [string, TensorId][] = [['x', x], ['w', w]];
  return { program: simplify(b.build()), inputs: Object.fromEntries(sizes.map(([name, id], i) => [name, numbers(sizeOf(b.tensor(id).shape), i + 1)])) };
}

describe('split stride phases', () => {
  it('keeps input gradients of convolutions of any stride, padding, dilation and size', () => {
    fc.assert(fc.property(fc.array(axis, { minLength: 1, maxLength: 2 }), (axes) => {
      const { program, inputs } = inputGradient(axes);
      const result = split(program, inputs);
      expect(conditions(result)).toBe(0);
      expect(terms(result)).toBeLessThanOrEqual(terms(program));
    }), { numRuns: 150 });
  });

  it('leaves only the terms that count: each pair of a point and a tap that fits it', () => {
    const taps = fc.record({ size: fc.integer({ min: 4, max: 12 }), taps: fc.integer({ min: 2, max: 7 }), stride: fc.integer({ min: 2, max: 4 }), pad: fc.integer({ min: 0, max: 3 }) });
    fc.assert(fc.property(taps, (t) => {
      const a: Axis = { ...t, dilation: 1 };
      // Without overlap there is no sum over taps; differentiation decodes the tap.
      fc.pre(outputsOf(a) >= 2 && outputsOf(a) > a.taps && a.taps > a.stride);
      const { program, inputs } = inputGradient([a]);
      let fitting = 0;
      for (let p = 0; p < a.size; p++) for (let d = 0; d < a.taps; d++) if ((((p + a.pad - d) % a.stride) + a.stride) % a.stride === 0) fitting++;
      const others = 2 * 3 * 2;
      const before = terms(program) - a.size * a.taps * others;
      expect(terms(split(program, inputs)) - before).toBe(fitting * others);
    }), { numRuns: 60 });
  });

  it('quarters the terms of a 3x3 convolution of stride 2', () => {
    const a: Axis = { size: 8, taps: 3, stride: 2, pad: 1, dilation: 1 };
    const { program, inputs } = inputGradient([a, a]);
    expect(terms(program) / terms(split(program, inputs))).toBeCloseTo(4, 0);
  });

  it('makes convolutions that fusion recognises', () => {
    const a: Axis = { size: 12, taps: 3, stride: 2, pad: 1, dilation: 1 };
    const b = new ProgramBuilder('p');
    const w = b.source('w', 'data', 'f32', [3, 3, 16, 16], origin);
    const x = b.source('x', 'data', 'f32', [2, a.size, a.size, 16], origin);
    const at = [1, 2].map((k) => sub(add(mul(index(k), int(2)), index(3 + k)), int(1)));
    const product = mul(b.read(x, [index(0), ...at, index(6)], float(0)), b.read(w, [index(4), index(5), index(6), index(3)]));
    const y = b.comprehension('f32', [2, outputsOf(a), outputsOf(a), 16], { op: 'sum', extents: [3, 3, 16] }, product, origin);
    const [gradient] = differentiate(b, weighted(b, b.comprehension('f32', b.tensor(y).shape, null, unary('tanh', b.identity(y)), origin)), [x]);
    b.output('gradient', gradient);
    const { kernels } = fuse(splitStridePhases(simplify(b.build())), { disabled: [], maxBindings: 8, target: 'wasm' });
    // The convolution itself and four phases.
    expect(kernels.filter((k) => k.kind === 'contract').length).toBe(5);
    expect(kernels.filter((k) => k.kind === 'reduce').length).toBe(0);
  });

  it('makes no more phases than may be read at once', () => {
    const a: Axis = { size: 18, taps: 5, stride: 3, pad: 1, dilation: 1 };
    const { program, inputs } = inputGradient([a, a]);
    const added = (most: number): number => splitStridePhases(program, most).tensors.length - program.tensors.length;
    expect([added(9), added(8), added(3), added(2)]).toEqual([9, 3, 3, 0]);
    const expected = interpret(program, inputs).outputs.get('gradient') ?? [];
    const found = interpret(splitStridePhases(program, 4), inputs).outputs.get('gradient') ?? [];
    expected.forEach((e, i) => { expect(found[i]).toBeCloseTo(e, 9); });
  });

  /** A summand over a point p and a tap r, with the condition written in several ways. */
  const written = (form: string, scale: number, tapScale: number, constant: number, stride: number): Scalar => {
    const g = 0 as TensorId;
    const e = add(add(mul(index(0), int(scale)), mul(index(1), int(tapScale))), int(constant));
    const remainder = binary('mod', e, int(stride));
    const fits = binary('eq', remainder, int(0));
    const quotient = binary('idiv', e, int(stride));
    const w = read(1 as TensorId, [index(1)], 'f32');
    const inside = binary('and', binary('ge', quotient, int(0)), binary('lt', quotient, int(4)));
    switch (form) {
      case 'index': return mul(read(g, [select(fits, quotient, int(-1))], 'f32', float(0)), w);
      case 'contrary': return mul(w, read(g, [select(binary('ne', remainder, int(0)), int(-1), quotient)], 'f32', float(0)));
      case 'inside first': return select(binary('and', inside, fits), mul(read(g, [quotient], 'f32', float(0)), w), float(0));
      case 'fits first': return select(fits, select(inside, mul(read(g, [quotient], 'f32', float(0)), w), float(0)), float(0));
      default: return select(binary('ne', int(0), remainder), float(0), mul(read(g, [quotient], 'f32', float(0)), w));
    }
  };

  const summed = (body: Scalar, points: number, taps: number): Program => {
    const b = new ProgramBuilder('p');
    b.source('g', 'data', 'f32', [4], origin);
    b.source('w', 'data', 'f32', [taps], origin);
    b.output('y', b.comprehension('f32', [points], { op: 'sum', extents: [taps] }, body, origin));
    return b.build();
  };

  it('reads the condition however it is written, with any coefficients', () => {
    const forms = fc.constantFrom('index', 'contrary', 'inside first', 'fits first', 'select');
    const coefficient = fc.constantFrom(1, -1, 2, 3, -2);
    fc.assert(fc.property(forms, coefficient, coefficient, fc.integer({ min: -4, max: 6 }), fc.integer({ min: 2, max: 9 }), fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 6 }),
      (form, scale, tapScale, constant, stride, points, taps) => {
        const result = split(summed(written(form, scale, tapScale, constant, stride), points, taps), { g: numbers(4), w: numbers(taps, 2) });
        expect(conditions(result)).toBe(0);
      }), { numRuns: 200 });
  });

  it('leaves a sum alone whose terms do not vanish, and what is no sum', () => {
    const fits = binary('eq', binary('mod', sub(index(0), index(1)), int(2)), int(0));
    const w = read(1 as TensorId, [index(1)], 'f32');
    const inputs = { g: numbers(4), w: numbers(3) };
    const kept = summed(select(fits, w, float(1)), 5, 3);
    expect(split(kept, inputs)).toEqual(kept);
    const constant = summed(select(boolean(true), w, float(0)), 5, 3);
    expect(split(constant, inputs)).toEqual(constant);
    const b = new ProgramBuilder('p');
    b.source('g', 'data', 'f32', [4], origin);
    b.source('w', 'data', 'f32', [3], origin);
    b.output('y', b.comprehension('f32', [5], { op: 'max', extents: [3] }, select(fits, w, float(0)), origin));
    const largest = b.build();
    expect(split(largest, inputs)).toEqual(largest);
  });
});
