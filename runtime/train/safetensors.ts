/**
 * The safetensors format (huggingface/safetensors): 8 bytes little-endian header length, a JSON header with dtype,
 * shape and byte range of each tensor and text under `__metadata__`, then the bytes. Names are sorted, so the same
 * tensors give the same file.
 */
import { bug } from '../../grammar/diagnostics/report.js';
import type { HostArray } from '../device/device.js';
import { fail } from '../data/problem.js';

export interface NamedTensor {
  readonly shape: readonly number[];
  readonly data: HostArray;
}

export interface TensorFile {
  readonly tensors: ReadonlyMap<string, NamedTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Bytes of a safetensors file. */
export function encodeSafetensors(tensors: ReadonlyMap<string, NamedTensor>, metadata: Readonly<Record<string, string>> = {}): Uint8Array {
  const names = [...tensors.keys()].sort();
  const header: Record<string, unknown> = { __metadata__: sortedRecord(metadata) };
  let offset = 0;
  for (const name of names) {
    const { shape, data } = tensors.get(name) ?? bug(`no tensor ${name}`);
    if (shape.reduce((a, b) => a * b, 1) !== data.length) bug(`tensor ${name} has ${data.length} elements and shape [${shape.join(', ')}]`);
    header[name] = { dtype: data instanceof Float32Array ? 'F32' : data instanceof Int32Array ? 'I32' : 'U8', shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  let text = JSON.stringify(header);
  text += ' '.repeat((8 - (Buffer.byteLength(text) % 8)) % 8);
  const headerBytes = Buffer.from(text);
  const out = new Uint8Array(8 + headerBytes.length + offset);
  new DataView(out.buffer).setBigUint64(0, BigInt(headerBytes.length), true);
  out.set(headerBytes, 8);
  let at = 8 + headerBytes.length;
  for (const name of names) {
    const { data } = tensors.get(name) ?? bug(`no tensor ${name}`);
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return out;
}

/** Parses a safetensors file; `shown` names it in errors. F32, F16, BF16, F64, I32, I64, U8 and BOOL are read; wider floats become f32, integers i32. */
export function decodeSafetensors(bytes: Uint8Array, shown: string): TensorFile {
  const { header, start } = parseHeader(bytes, shown);
  const tensors = new Map<string, NamedTensor>();
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const info = tensorInfo(value);
    if (info === null) return fail('SSL5023', { path: shown, problem: `the entry of \`${name}\` is not understood` });
    const length = info.shape.reduce((a, b) => a * b, 1);
    const [from, to] = info.range;
    if (from > to || start + to > bytes.length) return fail('SSL5010', { path: shown, expected: start + to, found: bytes.length });
    const slice = new Uint8Array(bytes.subarray(start + from, start + to)); // a copy, even of a Buffer
    const data = decodeElements(info.dtype, slice);
    if (data === null) return fail('SSL5023', { path: shown, problem: `the element type ${info.dtype} of \`${name}\` is not supported` });
    if (data.length !== length) return fail('SSL5023', { path: shown, problem: `\`${name}\` has ${data.length} elements where its shape says ${length}` });
    tensors.set(name, { shape: info.shape, data });
  }
  return { tensors, metadata: metadataOf(header) };
}

/** The text under `__metadata__`, without decoding tensors. */
export function safetensorsMetadata(bytes: Uint8Array, shown: string): Readonly<Record<string, string>> {
  return metadataOf(parseHeader(bytes, shown).header);
}

function parseHeader(bytes: Uint8Array, shown: string): { readonly header: object; readonly start: number } {
  if (bytes.length < 8) return fail('SSL5010', { path: shown, expected: 8, found: bytes.length });
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(0, true));
  if (length > 100_000_000) return fail('SSL5023', { path: shown, problem: 'its header is too long' });
  if (8 + length > bytes.length) return fail('SSL5010', { path: shown, expected: 8 + length, found: bytes.length });
  let header: unknown;
  try {
    header = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset + 8, length).toString('utf8'));
  } catch {
    return fail('SSL5023', { path: shown, problem: 'its header is not JSON' });
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) return fail('SSL5023', { path: shown, problem: 'its header is not an object' });
  return { header, start: 8 + length };
}

function metadataOf(header: object): Readonly<Record<string, string>> {
  const metadata: unknown = '__metadata__' in header ? header.__metadata__ : {};
  if (typeof metadata !== 'object' || metadata === null) return {};
  return Object.fromEntries(Object.entries(metadata).map(([k, v]) => [k, String(v)]));
}

function tensorInfo(value: unknown): { readonly dtype: string; readonly shape: readonly number[]; readonly range: readonly [number, number] } | null {
  if (typeof value !== 'object' || value === null || !('dtype' in value) || !('shape' in value) || !('data_offsets' in value)) return null;
  const { dtype, shape, data_offsets: range } = value;
  const sizes = (x: unknown): x is number[] => Array.isArray(x) && x.every((n) => Number.isSafeInteger(n) && n >= 0);
  if (typeof dtype !== 'string' || !sizes(shape) || !sizes(range) || range.length !== 2) return null;
  return { dtype, shape, range: [range[0], range[1]] };
}

/** `bytes` starts at offset 0 of its own buffer. */
function decodeElements(dtype: string, bytes: Uint8Array): HostArray | null {
  const width: Readonly<Record<string, number>> = { F32: 4, F64: 8, F16: 2, BF16: 2, I32: 4, I64: 8, U8: 1, BOOL: 1 };
  if (!Object.hasOwn(width, dtype)) return null;
  if (bytes.length % width[dtype] !== 0) return new Uint8Array(bytes.length + 1); // never equals the shape: reported by the caller
  switch (dtype) {
    case 'F32': return new Float32Array(bytes.buffer);
    case 'F64': return Float32Array.from(new Float64Array(bytes.buffer));
    case 'F16': return Float32Array.from(new Uint16Array(bytes.buffer), halfToFloat);
    case 'BF16': return new Float32Array(Uint32Array.from(new Uint16Array(bytes.buffer), (h) => (h << 16) >>> 0).buffer);
    case 'I32': return new Int32Array(bytes.buffer);
    case 'I64': return Int32Array.from(new BigInt64Array(bytes.buffer), Number);
    case 'BOOL': return Int32Array.from(bytes, (b) => (b !== 0 ? 1 : 0));
    default: return bytes;
  }
}

function halfToFloat(h: number): number {
  const sign = h & 0x8000 ? -1 : 1;
  const exponent = (h >> 10) & 31;
  const fraction = h & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function sortedRecord(record: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}
