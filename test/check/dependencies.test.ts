/** Which sources a tensor depends on, however many tensors lie between: the rounds of a fixed-point block lie behind one another. */
import { expect, test } from 'vitest';
import { dependencyFinder } from '../../compiler/check/dependencies.js';
import { ProgramBuilder } from '../../compiler/tensor/builder.js';
import { float, mul, unary } from '../../compiler/tensor/scalar.js';

test('a source behind twenty thousand tensors, and what a stop takes from its gradient', () => {
  const b = new ProgramBuilder('chain');
  const origin = { span: null, name: 'x' };
  const source = b.source('x', 'batch', 'f32', [2], origin);
  let last = source;
  for (let round = 0; round < 20_000; round++) last = b.comprehension('f32', [2], null, mul(b.identity(last), float(2)), origin);
  const stopped = b.comprehension('f32', [2], null, unary('stop', b.identity(last)), origin);
  const find = dependencyFinder(b.tensors);
  expect([...find(last).live]).toEqual([source]);
  expect([...find(last).stopped]).toEqual([]);
  expect([...find(stopped).live]).toEqual([]);
  expect([...find(stopped).stopped]).toEqual([source]);
});
