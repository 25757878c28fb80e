/**
 * Checks what every pass must keep: tensors read only tensors before them, types agree, index variables exist,
 * and an unguarded read stays inside its tensor wherever interval analysis can tell (data-dependent indices pass:
 * targets clamp them). A violation is our bug and names the tensor.
 */
import { bug } from '../../grammar/diagnostics/report.js';
import { printScalar, printTensor } from './print.js';
import type { Comprehension, Program, Routine, Tensor } from './program.js';
import { sizeOf } from './program.js';
import { rangeOf } from './ranges.js';
import { lengthOfRuns } from './runs.js';
import type { ElementType, Scalar, ScalarType } from './scalar.js';
import { holdsAnew, scalarTypeOf, visit } from './scalar.js';

/** Throws a `Bug` unless the program is well formed. */
export function verify(program: Program): void {
  const names = new Set<string>();
  program.tensors.forEach((tensor, position) => {
    const fail = failing(program, tensor);
    if (tensor.id !== position) fail(`stands at position ${position}`);
    if (!tensor.shape.every((n) => Number.isInteger(n) && n >= 0)) fail('has a size that is no natural number');
    switch (tensor.kind) {
      case 'source':
        if (names.has(tensor.name)) fail(`repeats the source name "${tensor.name}"`);
        names.add(tensor.name);
        if ((tensor.role === 'constant') !== (tensor.runs !== undefined)) fail('has the elements of a constant and is none, or the other way round');
        if (tensor.runs !== undefined && (tensor.element !== 'i32' || lengthOfRuns(tensor.runs) !== sizeOf(tensor.shape))) fail(`has ${lengthOfRuns(tensor.runs)} whole numbers for its elements`);
        break;
      case 'window': {
        const of = before(program, tensor, tensor.of);
        if (of.element !== tensor.element) fail(`is ${tensor.element} but lies in ${of.element} %${of.id}`);
        if (!Number.isInteger(tensor.offset) || tensor.offset < 0 || tensor.offset + sizeOf(tensor.shape) > sizeOf(of.shape)) fail(`does not fit in the ${sizeOf(of.shape)} elements of %${of.id}`);
        break;
      }
      case 'pack': verifyPack(program, tensor, fail); break;
      case 'routine': verifyRoutine(program, tensor, fail); break;
      case 'comprehension': verifyComprehension(program, tensor, fail); break;
    }
  });
  const outputs = new Set<string>();
  for (const o of program.outputs) {
    if (outputs.has(o.name)) bug(`program ${program.name}: two outputs named ${o.name}`);
    outputs.add(o.name);
    if (program.tensors[o.tensor] === undefined) bug(`program ${program.name}: output ${o.name} is %${o.tensor}, which does not exist`);
  }
  for (const u of program.updates) verifyUpdate(program, u);
}

type Fail = (message: string) => never;

function failing(program: Program, tensor: Tensor): Fail {
  return (message) => bug(`program ${program.name}: %${tensor.id} (${tensor.origin.name}) ${message}\n  ${printTensor(tensor)[0]}`);
}

function before(program: Program, tensor: Tensor, id: number): Tensor {
  const found = program.tensors[id];
  if (found === undefined) return failing(program, tensor)(`reads %${id}, which does not exist`);
  if (id >= tensor.id) return failing(program, tensor)(`reads %${id}, which comes after it`);
  return found;
}

function verifyPack(program: Program, tensor: Extract<Tensor, { kind: 'pack' }>, fail: Fail): void {
  if (tensor.parts.length !== tensor.offsets.length) fail(`has ${tensor.parts.length} parts and ${tensor.offsets.length} offsets`);
  if (tensor.shape.length !== 1) fail('is a pack and must have one axis');
  if (tensor.element !== 'f32') fail('is a pack and must be f32');
  let end = 0;
  tensor.parts.forEach((id, i) => {
    const part = before(program, tensor, id);
    const offset = tensor.offsets[i];
    if (part.element !== 'f32') fail(`packs ${part.element} %${id}`);
    if (offset % 64 !== 0) fail(`places %${id} at ${offset}, which is no multiple of 64`);
    if (offset < end) fail(`places %${id} at ${offset}, over the part before it`);
    end = offset + sizeOf(part.shape);
  });
  if (end > tensor.shape[0]) fail(`has ${tensor.shape[0]} elements, its parts end at ${end}`);
}

function verifyRoutine(program: Program, tensor: Routine, fail: Fail): void {
  const inputs = tensor.inputs.map((id) => before(program, tensor, id));
  const square = (shape: readonly number[]): boolean => shape.length >= 2 && shape[shape.length - 1] === shape[shape.length - 2];
  const expect = (holds: boolean, what: string): void => { if (!holds) fail(`is ${tensor.op}, which ${what}`); };
  const same = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((n, i) => n === b[i]);
  const [first] = inputs;
  if (tensor.op === 'first_equal') {
    expect(inputs.length === 1 && first.element === 'i32' && tensor.element === 'i32', 'takes and gives i32');
    expect(first.shape.length >= 1 && same(first.shape, tensor.shape), 'keeps the shape of a tensor with an axis');
    return;
  }
  if (tensor.op === 'argsort') {
    expect(inputs.length === 1 && (first.element === 'f32' || first.element === 'i32') && tensor.element === 'i32', 'takes f32 or i32 and gives i32');
    expect(first.shape.length >= 1 && same(first.shape, tensor.shape), 'keeps the shape of a tensor with an axis');
    return;
  }
  expect([...inputs, tensor].every((t) => t.element === 'f32'), 'takes and gives f32');
  expect(square(first.shape), 'takes square matrices');
  if (tensor.op === 'cholesky') {
    expect(inputs.length === 1 && same(first.shape, tensor.shape), 'gives a matrix of the same size');
    return;
  }
  const right = inputs[1].shape;
  expect(inputs.length === 2 && same(right, tensor.shape) && same(right.slice(0, -1), first.shape.slice(0, -1)), 'takes right sides with as many rows as the matrix');
}

function storable(type: ScalarType, element: ElementType): boolean {
  return type === scalarTypeOf(element);
}

function verifyComprehension(program: Program, tensor: Comprehension, fail: Fail): void {
  const extents = [...tensor.shape, ...(tensor.reduce?.extents ?? [])];
  const { body } = tensor;
  if (tensor.reduce !== null) {
    const { op } = tensor.reduce;
    if (!tensor.reduce.extents.every((n) => Number.isInteger(n) && n >= 0)) fail('reduces over an extent that is no natural number');
    if ((op === 'any' || op === 'all') !== (body.type === 'bool')) fail(`reduces ${body.type} by ${op}`);
    if ((op === 'logsumexp' || op === 'deviations') && body.type !== 'f32') fail(`reduces ${body.type} by ${op}`);
    if (op === 'argmax' && (tensor.element !== 'i32')) fail(`stores argmax as ${tensor.element}`);
    if (op !== 'argmax' && !storable(body.type, tensor.element)) fail(`stores ${body.type} as ${tensor.element}`);
  } else if (!storable(body.type, tensor.element)) fail(`stores ${body.type} as ${tensor.element}`);
  visit(body, (s) => {
    const at = (): string => printScalar(s, (axis) => (axis < tensor.shape.length ? `i${axis}` : `r${axis - tensor.shape.length}`));
    if (s.holds !== holdsAnew(s)) fail(`does not hold what it says in ${at()}`);
    switch (s.kind) {
      case 'index':
        if (!Number.isInteger(s.axis) || s.axis < 0 || s.axis >= extents.length) fail(`uses index variable ${s.axis} but has ${extents.length} axes`);
        break;
      case 'read': verifyRead(before(program, tensor, s.tensor), s, extents, at, fail); break;
      case 'unary': verifyUnary(s, at, fail); break;
      case 'binary': verifyBinary(s, at, fail); break;
      case 'select':
        if (s.condition.type !== 'bool') fail(`selects by a ${s.condition.type} in ${at()}`);
        if (s.a.type !== s.type || s.b.type !== s.type) fail(`selects ${s.type} from ${s.a.type} and ${s.b.type} in ${at()}`);
        break;
      case 'draw':
        for (const o of [s.seed, s.step, s.example, s.element]) if (o.type !== 'i32') fail(`counts a draw by ${o.type} in ${at()}`);
        break;
      case 'accumulator': fail('uses an accumulator, which only kernels have'); break;
      case 'const': case 'cast': break;
    }
  });
}

function verifyRead(of: Tensor, s: Extract<Scalar, { kind: 'read' }>, extents: readonly number[], at: () => string, fail: Fail): void {
  if (s.at.length !== of.shape.length) fail(`reads %${of.id} of ${of.shape.length} axes with ${s.at.length} indices: ${at()}`);
  if (s.type !== scalarTypeOf(of.element)) fail(`reads ${of.element} %${of.id} as ${s.type}: ${at()}`);
  if (s.otherwise !== null && s.otherwise.type !== s.type) fail(`reads ${s.type} or else ${s.otherwise.type}: ${at()}`);
  s.at.forEach((i, axis) => {
    if (i.type !== 'i32') fail(`reads at a ${i.type} index: ${at()}`);
    if (s.otherwise !== null || extents.includes(0)) return;
    const { low, high } = rangeOf(i, (v) => extents[v]);
    // Infinite bounds come from data. A finite bound that lies outside can be reached, or is not proven not to be.
    if ((low < 0 && Number.isFinite(low)) || (high >= of.shape[axis] && Number.isFinite(high))) {
      if (Number.isFinite(low) && Number.isFinite(high)) fail(`reads %${of.id} at ${low}..${high} on axis ${axis} of size ${of.shape[axis]} with nothing to guard it: ${at()}`);
    }
  });
}

function verifyUnary(s: Extract<Scalar, { kind: 'unary' }>, at: () => string, fail: Fail): void {
  if (s.op === 'not') {
    if (s.x.type !== 'bool' || s.type !== 'bool') fail(`negates a ${s.x.type} in ${at()}`);
  } else if (s.x.type !== s.type) fail(`${s.op} turns ${s.x.type} into ${s.type} in ${at()}`);
  else if (s.type === 'bool' && s.op !== 'stop') fail(`${s.op} of a bool in ${at()}`);
  else if (s.type === 'i32' && s.op !== 'neg' && s.op !== 'abs' && s.op !== 'stop') fail(`${s.op} of an i32 in ${at()}`);
}

function verifyBinary(s: Extract<Scalar, { kind: 'binary' }>, at: () => string, fail: Fail): void {
  if (s.a.type !== s.b.type) fail(`${s.op} of ${s.a.type} and ${s.b.type} in ${at()}`);
  switch (s.op) {
    case 'and': case 'or':
      if (s.a.type !== 'bool' || s.type !== 'bool') fail(`${s.op} of ${s.a.type} in ${at()}`);
      break;
    case 'lt': case 'le': case 'gt': case 'ge': case 'eq': case 'ne':
      if (s.type !== 'bool') fail(`${s.op} gives ${s.type} in ${at()}`);
      break;
    default:
      if (s.type !== s.a.type || s.type === 'bool') fail(`${s.op} of ${s.a.type} gives ${s.type} in ${at()}`);
  }
}

function verifyUpdate(program: Program, update: Program['updates'][number]): void {
  const source = program.tensors[update.source];
  const value = program.tensors[update.value];
  if (source === undefined || value === undefined) return bug(`program ${program.name}: update %${update.source} <- %${update.value} names a tensor that does not exist`);
  const fail = failing(program, source);
  if (source.kind !== 'source') fail('is updated but is no source');
  if (value.element !== source.element) fail(`is updated with ${value.element} %${value.id}`);
  if (update.rows !== null) {
    const rows = program.tensors[update.rows];
    if (rows === undefined || rows.element !== 'i32' || rows.shape.length !== 1) fail('is updated at rows that are no i32 vector');
    if (value.shape.join() !== [rows.shape[0], ...source.shape.slice(1)].join()) fail(`is updated at ${rows.shape[0]} rows with %${value.id} of shape [${value.shape.join(',')}]`);
    return;
  }
  if (value.shape.length !== source.shape.length || value.shape.some((n, i) => n !== source.shape[i])) fail(`is updated with %${value.id} of shape [${value.shape.join(',')}]`);
}
