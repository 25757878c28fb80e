/** Compares gradients with central finite differences of the interpreter. */
import { expect } from 'vitest';
import type { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { differentiate } from '../../compiler/tensor/differentiate.js';
import { interpret } from '../../compiler/tensor/interpret.js';
import { printProgram } from '../../compiler/tensor/print.js';
import { simplify, simplifyPasses } from '../../compiler/tensor/simplify.js';
import { verify } from '../../compiler/tensor/verify.js';
import type { Program } from '../../compiler/tensor/program.js';
import { sizeOf } from '../../compiler/tensor/program.js';
import { add, index, mul, unary, cast, int } from '../../compiler/tensor/scalar.js';
import type { Scalar, TensorId } from '../../compiler/tensor/scalar.js';

export const origin = { span: null, name: 't' };

/** Repeatable numbers in about -2..2. */
export function numbers(n: number, seed = 1): number[] {
  let state = Math.imul(seed, 0x9e3779b9) >>> 0;
  return Array.from({ length: n }, () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6d2b79f5) >>> 0;
    return ((state >>> 4) / 2 ** 28) * 4 - 2;
  });
}

/** A scalar loss in which every element of `y` has another weight. */
export function weighted(b: ProgramBuilder, y: TensorId): TensorId {
  const shape = b.tensor(y).shape;
  let phase: Scalar = int(1);
  shape.forEach((_, axis) => { phase = add(mul(phase, int(7)), index(axis)); });
  const body = mul(unary('sin', cast('f32', phase)), b.identity(y));
  return b.comprehension('f32', [], { op: 'sum', extents: shape }, body, origin);
}

/** Differentiates a weighted sum of `y` by `wrt` and compares with finite differences. Returns the program. */
export function checkGradient(b: ProgramBuilder, y: TensorId, wrt: readonly TensorId[], inputs: Readonly<Record<string, readonly number[]>>, step = 1e-5): Program {
  const loss = weighted(b, y);
  const gradients = differentiate(b, loss, wrt);
  b.output('loss', loss);
  gradients.forEach((g, i) => b.output(`grad${i}`, g));
  const program = b.build();
  verify(program);
  const { outputs } = interpret(program, inputs);
  checkSimplified(program, inputs);
  const lossOnly: Program = { ...program, tensors: program.tensors.slice(0, loss + 1), outputs: [{ name: 'loss', tensor: loss }], updates: [] };
  const lossAt = (name: string, i: number, delta: number): number => {
    const moved = [...inputs[name]];
    moved[i] += delta;
    return interpret(lossOnly, { ...inputs, [name]: moved }).outputs.get('loss')?.[0] ?? NaN;
  };
  wrt.forEach((id, k) => {
    const tensor = b.tensor(id);
    const gradient = outputs.get(`grad${k}`);
    expect(gradient?.length).toBe(sizeOf(tensor.shape));
    const [name, offset] = tensor.kind === 'source' ? [tensor.name, 0] : tensor.kind === 'window' ? [sourceName(program, tensor.of), tensor.offset] : ['', 0];
    const n = sizeOf(tensor.shape);
    for (let i = 0; i < n; i += Math.max(1, Math.floor(n / 10))) {
      const difference = (lossAt(name, offset + i, step) - lossAt(name, offset + i, -step)) / (2 * step);
      const g = gradient?.[i] ?? NaN;
      const scale = Math.max(1, Math.abs(difference));
      expect(Math.abs(g - difference) / scale, `gradient ${i} of ${name}: ${g}, finite difference ${difference}`).toBeLessThan(1e-5);
    }
  });
  return program;
}

/** Simplifying, whole and with each pass left out, keeps what the program computes. */
export function checkSimplified(program: Program, inputs: Readonly<Record<string, readonly number[]>>): void {
  const expected = interpret(program, inputs);
  for (const left of [[], ...simplifyPasses.map((p) => [p])]) {
    const simple = simplify(program, { disabled: left });
    verify(simple);
    const actual = interpret(simple, inputs);
    for (const { name } of program.outputs) {
      const a = actual.outputs.get(name);
      expected.outputs.get(name)?.forEach((e, i) => {
        const difference = Math.abs((a?.[i] ?? NaN) - e);
        if (!(difference <= 1e-9 * Math.max(1, Math.abs(e)))) throw new Error(`without ${left.join() || 'nothing'}: ${name}[${i}] is ${a?.[i]}, expected ${e}\n${printProgram(program)}\n${printProgram(simple)}`);
      });
    }
  }
}

function sourceName(program: Program, id: TensorId): string {
  const tensor = program.tensors[id];
  return tensor.kind === 'source' ? tensor.name : '';
}
