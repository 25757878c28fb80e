/**
 * Elements of tensors in memory, as WGSL: a tensor may lie in a binding whose words have another type than its elements, so
 * that loads and stores convert or reinterpret them. Addresses count elements. Where the words of a binding come in vectors, one of them is
 * loaded by itself; none is stored so, since threads that write neighbouring parts of a vector may undo each other's.
 */
import type { Scalar } from '../../tensor/scalar.js';
import type { TensorAccess } from './bindings.js';

/** An address in words of the binding, from one that counts from the tensor's start. */
const fromStart = ({ base }: TensorAccess, address: string): string => (base === 0 ? address : `${address} + ${base}`);

/** Whether an address must be a name, since `loadText` writes it twice. */
export const namesAddress = ({ binding, element }: TensorAccess): boolean => element === 'u8' || binding.inVectors === true;

/** The value at `at`, which counts from the binding's start. A `closed` text needs no parentheses. */
export function loadText({ binding, element }: TensorAccess, at: string): { readonly text: string; readonly closed: boolean } {
  if (element === 'u8') return { text: `i32(extractBits(${binding.name}[${at} >> 2u], u32(${at} & 3) * 8u, 8u))`, closed: false };
  const word = binding.inVectors === true ? `${binding.name}[${at} >> 2u][${at} & 3]` : `${binding.name}[${at}]`;
  switch (element) {
    case 'f32': return { text: binding.type === 'f32' ? word : `bitcast<f32>(${word})`, closed: false };
    case 'f16': return { text: `f32(${word})`, closed: true };
    case 'i32': return { text: binding.type === 'i32' ? word : `bitcast<i32>(${word})`, closed: false };
    case 'bool': return { text: `${word} != ${binding.type === 'u32' ? '0u' : '0'}`, closed: false };
  }
}

/** The element of an f32 or i32 tensor at `address`, counted from its start, as it is in memory now. */
export function elementText(access: TensorAccess, address: string): string {
  const word = `${access.binding.name}[${fromStart(access, address)}]`;
  return access.binding.type === access.element ? word : `bitcast<${access.element}>(${word})`;
}

/** `tensor[address] = value;` with the value, of type `type`, as the tensor has it; `address` counts from its start. */
export function storeText(access: TensorAccess, address: string, value: string, type: Scalar['type']): string {
  const { binding, element } = access;
  const place = `${binding.name}[${fromStart(access, address)}]`;
  if (element === 'f16') return `${place} = f16(${value});`;
  const number = element === 'f32'
    ? (type === 'f32' ? value : type === 'i32' ? `f32(${value})` : `select(0.0, 1.0, ${value})`)
    : type === 'bool' ? `select(0, 1, ${value})` : type === 'i32' ? (element === 'bool' ? `select(0, 1, (${value}) != 0)` : value) : `i32(${value})`;
  const wordType = element === 'f32' ? 'f32' : 'i32';
  return `${place} = ${binding.type === wordType ? number : `bitcast<${binding.type}>(${number})`};`;
}

/** Writes four u8 elements, packed in `value`, as word number `word` of the tensor. */
export function storeWordText({ binding, base }: TensorAccess, word: string, value: string): string {
  return `${binding.name}[${base === 0 ? word : `${word} + ${base / 4}`}] = ${binding.type === 'u32' ? value : `bitcast<${binding.type}>(${value})`};`;
}
