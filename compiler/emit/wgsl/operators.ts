/** Constants and operators as WGSL text. Operands are atoms. */
import { assertNever } from '../../../grammar/diagnostics/report.js';
import type { BinaryOperator, Scalar, ScalarType, UnaryOperator } from '../../tensor/scalar.js';
import type { HelperName } from './functions.js';
import { floatLiteral, intLiteral } from './names.js';
import type { Range } from './ranges.js';

export function constantText(type: ScalarType, value: number, helpers: Set<HelperName>): string {
  if (type === 'bool') return value !== 0 ? 'true' : 'false';
  if (type === 'i32') return value < 0 ? `(${intLiteral(value)})` : intLiteral(value);
  const literal = floatLiteral(value);
  if (literal !== null) return literal.startsWith('-') ? `(${literal})` : literal;
  const name: HelperName = Number.isNaN(value) ? 'not_a_number' : 'infinity';
  helpers.add(name);
  return value < 0 ? `(-${name}())` : `${name}()`;
}

/** `x` is the operand's text, `operand` the operand itself (a constant is kept out of the compiler's constant folding). */
export function unaryText(op: UnaryOperator, type: ScalarType, x: string, operand: Scalar, helpers: Set<HelperName>): string {
  const call = (name: HelperName): string => { helpers.add(name); return `${name}(${x})`; };
  switch (op) {
    case 'neg': return `-${x}`;
    case 'not': return operand.type === 'bool' ? `!${x}` : `${x} == ${operand.type === 'f32' ? '0.0' : '0'}`;
    case 'stop': return x;
    case 'abs': return `abs(${x})`;
    case 'exp': return call('exp_f32');
    case 'log': return call('log_f32');
    case 'log1p': return call('log1p_f32');
    case 'tanh': return call('tanh_f32');
    case 'erf': return call('erf_f32');
    case 'sin': return call('sin_f32');
    case 'cos': return call('cos_f32');
    case 'sqrt':
      if (operand.kind === 'const') return constantText('f32', Math.sqrt(operand.value), helpers);
      return `sqrt(${x})`;
    case 'floor': case 'ceil': case 'round': return type === 'i32' ? x : `${op}(${x})`;
    default: return assertNever(op);
  }
}

const infix: Partial<Record<BinaryOperator, string>> = {
  add: '+', sub: '-', mul: '*', lt: '<', le: '<=', gt: '>', ge: '>=', eq: '==', ne: '!=',
};

/** A power that is a product or a root, or null. `x` is an atom. */
function easyPower(x: string, exponent: Scalar): string | null {
  if (exponent.kind !== 'const') return null;
  switch (exponent.value) {
    case 1: return x;
    case 2: return `${x} * ${x}`;
    case 3: return `${x} * ${x} * ${x}`;
    case 4: return `(${x} * ${x}) * (${x} * ${x})`;
    case -1: return `1.0 / ${x}`;
    case -2: return `1.0 / (${x} * ${x})`;
    case 0.5: return `sqrt(${x})`;
    case -0.5: return `1.0 / sqrt(${x})`;
    default: return null;
  }
}

/** `type` is the operands' type; ranges are those of i32 operands. */
export function binaryText(op: BinaryOperator, type: ScalarType, a: string, b: string, rangeA: Range, rangeB: Range, right: Scalar, helpers: Set<HelperName>): string {
  const call = (name: HelperName): string => { helpers.add(name); return `${name}(${a}, ${b})`; };
  const sign = infix[op];
  if (sign !== undefined) return `${a} ${sign} ${b}`;
  switch (op) {
    case 'div': return type === 'i32' && right.kind === 'const' && right.value === 0 ? a : `${a} / ${b}`;
    case 'idiv':
      if (type === 'f32') return `floor(${a} / ${b})`;
      return rangeA.low >= 0 && rangeB.low > 0 ? `${a} / ${b}` : call('floor_div');
    case 'mod':
      if (type === 'f32') return `${a} - ${b} * floor(${a} / ${b})`;
      return rangeA.low >= 0 && rangeB.low > 0 ? `${a} % ${b}` : call('floor_mod');
    case 'pow': {
      if (type === 'f32') {
        const easy = /^[A-Za-z_]/.test(a) ? easyPower(a, right) : null;
        return easy ?? call('pow_f32');
      }
      helpers.add('pow_f32');
      return `i32(round(pow_f32(f32(${a}), f32(${b}))))`;
    }
    case 'min': case 'max': return `${op}(${a}, ${b})`;
    case 'atan2': return call('atan2_f32');
    case 'and': return `${asBool(a, type)} && ${asBool(b, type)}`;
    case 'or': return `${asBool(a, type)} || ${asBool(b, type)}`;
    default: return `${a} ${op} ${b}`;
  }
}

function asBool(x: string, type: ScalarType): string {
  return type === 'bool' ? x : `(${x} != ${type === 'f32' ? '0.0' : '0'})`;
}
