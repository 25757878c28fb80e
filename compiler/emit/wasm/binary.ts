/**
 * A small WebAssembly encoder: functions, locals, structured control, memory, SIMD and atomics; what the kernels
 * need and no more. Instructions are appended to a function's bytes; `Module.build` lays the sections out.
 */
import { bug } from '../../../grammar/diagnostics/report.js';

export const I32 = 0x7f;
export const F32 = 0x7d;
export const V128 = 0x7b;
export type ValueType = typeof I32 | typeof F32 | typeof V128;
/** Number of a local of a function. */
export type Local = number;

/** Plain one-byte instructions. */
export const op = {
  return: 0x0f, drop: 0x1a, select: 0x1b,
  i32eqz: 0x45, i32eq: 0x46, i32ne: 0x47, i32ltS: 0x48, i32ltU: 0x49, i32gtS: 0x4a, i32leS: 0x4c, i32geS: 0x4e,
  f32eq: 0x5b, f32ne: 0x5c, f32lt: 0x5d, f32gt: 0x5e, f32le: 0x5f, f32ge: 0x60,
  i32add: 0x6a, i32sub: 0x6b, i32mul: 0x6c, i32divS: 0x6d, i32divU: 0x6e, i32remS: 0x6f, i32remU: 0x70,
  i32and: 0x71, i32or: 0x72, i32xor: 0x73, i32shl: 0x74, i32shrS: 0x75, i32shrU: 0x76,
  f32abs: 0x8b, f32neg: 0x8c, f32ceil: 0x8d, f32floor: 0x8e, f32nearest: 0x90, f32sqrt: 0x91,
  f32add: 0x92, f32sub: 0x93, f32mul: 0x94, f32div: 0x95, f32min: 0x96, f32max: 0x97,
  f32convertI32: 0xb2, i32reinterpretF32: 0xbc,
} as const;

/** Instructions after the SIMD prefix 0xfd. */
export const simd = {
  load: 0, load32Splat: 9, store: 11, const: 12, shuffle: 13, load32Lane: 0x56, store32Lane: 0x5a, store64Lane: 0x5b, load32Zero: 0x5c, load64Zero: 0x5d,
  i32splat: 17, f32splat: 19, i32extract: 27, i32replace: 28, f32extract: 31, f32replace: 32,
  i32eq: 55, i32ne: 56, i32ltS: 57, i32ltU: 58, i32gtS: 59, i32leS: 61, i32geS: 63,
  f32eq: 65, f32ne: 66, f32lt: 67, f32gt: 68, f32le: 69, f32ge: 70,
  not: 77, and: 78, andnot: 79, or: 80, xor: 81, bitselect: 82, anyTrue: 83,
  f32ceil: 103, f32floor: 104, f32nearest: 106,
  i16narrowI32: 133, i16extendLowU8: 137, i32extendLowU16: 169,
  i32abs: 160, i32neg: 161, i32allTrue: 163, i32shl: 171, i32shrS: 172, i32shrU: 173, i32add: 174, i32sub: 177, i32mul: 181,
  i32minS: 182, i32maxS: 184, i64extmulLowU: 222, i64extmulHighU: 223,
  f32abs: 224, f32neg: 225, f32sqrt: 227, f32add: 228, f32sub: 229, f32mul: 230, f32div: 231,
  f32min: 232, f32max: 233, f32pmin: 234, f32pmax: 235, i32truncSatF32: 248, f32convertI32: 250,
  relaxedMadd: 0x105,
} as const;

const float32 = new Float32Array(1);
const float32Bytes = new Uint8Array(float32.buffer);

/** Appends the little-endian base-128 of an unsigned number. */
function putUnsigned(bytes: number[], n: number): void {
  for (; n >= 128; n = Math.floor(n / 128)) bytes.push((n % 128) | 0x80);
  bytes.push(n);
}

function putSigned(bytes: number[], n: number): void {
  n |= 0;
  for (; n < -64 || n > 63; n >>= 7) bytes.push((n & 0x7f) | 0x80);
  bytes.push(n & 0x7f);
}

function unsigned(n: number): number[] {
  const bytes: number[] = [];
  putUnsigned(bytes, n);
  return bytes;
}

function signed(n: number): number[] {
  const bytes: number[] = [];
  putSigned(bytes, n);
  return bytes;
}

/** One function under construction. */
export class FunctionBuilder {
  readonly bytes: number[] = [];
  /** How many locals of a type follow one another, and the type. */
  private readonly runs: [number, ValueType][] = [];
  private nextLocal: Local;

  constructor(readonly parameters: readonly ValueType[], readonly results: readonly ValueType[]) {
    this.nextLocal = parameters.length;
  }

  local(type: ValueType): Local {
    const last = this.runs.at(-1);
    if (last?.[1] === type) last[0]++; else this.runs.push([1, type]);
    return this.nextLocal++;
  }

  op(code: number): this { this.bytes.push(code); return this; }
  simd(code: number): this { this.bytes.push(0xfd); putUnsigned(this.bytes, code); return this; }
  get(local: Local): this { this.bytes.push(0x20); putUnsigned(this.bytes, local); return this; }
  set(local: Local): this { this.bytes.push(0x21); putUnsigned(this.bytes, local); return this; }
  tee(local: Local): this { this.bytes.push(0x22); putUnsigned(this.bytes, local); return this; }
  global(index: number): this { this.bytes.push(0x23); putUnsigned(this.bytes, index); return this; }
  i32(value: number): this { this.bytes.push(0x41); putSigned(this.bytes, value); return this; }
  f32(value: number): this {
    float32[0] = value;
    this.bytes.push(0x43);
    this.float();
    return this;
  }
  private float(): void { this.bytes.push(float32Bytes[0], float32Bytes[1], float32Bytes[2], float32Bytes[3]); }
  f32x4(value: number): this {
    float32[0] = value;
    this.bytes.push(0xfd, simd.const);
    for (let i = 0; i < 4; i++) this.float();
    return this;
  }
  i32x4(values: readonly number[]): this {
    this.bytes.push(0xfd, simd.const);
    for (let i = 0; i < 4; i++) {
      const v = values[i % values.length];
      this.bytes.push(v & 255, (v >> 8) & 255, (v >> 16) & 255, (v >> 24) & 255);
    }
    return this;
  }
  /** Picks 32-bit lanes: 0..3 of the first operand, 4..7 of the second. */
  shuffle(lanes: readonly [number, number, number, number]): this {
    this.bytes.push(0xfd, simd.shuffle);
    for (const l of lanes) this.bytes.push(l * 4, l * 4 + 1, l * 4 + 2, l * 4 + 3);
    return this;
  }
  lane(code: number, lane: number): this { this.bytes.push(0xfd); putUnsigned(this.bytes, code); this.bytes.push(lane); return this; }
  private memory(offset: number): void { this.bytes.push(0); putUnsigned(this.bytes, offset); }
  loadF32(offset = 0): this { this.op(0x2a).memory(offset); return this; }
  loadI32(offset = 0): this { this.op(0x28).memory(offset); return this; }
  loadU8(offset = 0): this { this.op(0x2d).memory(offset); return this; }
  loadU16(offset = 0): this { this.op(0x2f).memory(offset); return this; }
  storeF32(offset = 0): this { this.op(0x38).memory(offset); return this; }
  storeI32(offset = 0): this { this.op(0x36).memory(offset); return this; }
  storeU8(offset = 0): this { this.op(0x3a).memory(offset); return this; }
  storeU16(offset = 0): this { this.op(0x3b).memory(offset); return this; }
  loadV(code: number = simd.load, offset = 0): this { this.simd(code).memory(offset); return this; }
  storeV(offset = 0): this { this.simd(simd.store).memory(offset); return this; }
  laneMemory(code: number, lane: number, offset = 0): this {
    this.simd(code).memory(offset);
    this.bytes.push(lane);
    return this;
  }
  /** Atomic i32 add; gives the value before. */
  atomicAdd(): this { this.bytes.push(0xfe, 0x1e, 2, 0); return this; }
  atomicLoad(): this { this.bytes.push(0xfe, 0x10, 2, 0); return this; }
  /** [address, seen]: sleeps while the i32 there is `seen`, at most about `nanoseconds`; nobody need wake it. */
  atomicWait(nanoseconds: number): this {
    this.bytes.push(0x42);
    putSigned(this.bytes, nanoseconds);
    this.bytes.push(0xfe, 0x01, 2, 0, 0x1a);
    return this;
  }
  atomicStore(): this { this.bytes.push(0xfe, 0x17, 2, 0); return this; }
  call(index: number): this { this.bytes.push(0x10); putUnsigned(this.bytes, index); return this; }

  block(body: () => void): this { this.bytes.push(0x02, 0x40); body(); this.bytes.push(0x0b); return this; }
  loop(body: () => void): this { this.bytes.push(0x03, 0x40); body(); this.bytes.push(0x0b); return this; }
  if(body: () => void, otherwise?: () => void): this {
    this.bytes.push(0x04, 0x40);
    body();
    if (otherwise !== undefined) { this.bytes.push(0x05); otherwise(); }
    this.bytes.push(0x0b);
    return this;
  }
  br(depth: number): this { this.bytes.push(0x0c); putUnsigned(this.bytes, depth); return this; }
  brIf(depth: number): this { this.bytes.push(0x0d); putUnsigned(this.bytes, depth); return this; }

  /** `for (variable = begin; variable < end; variable += step)`; `begin` is already in the variable. */
  count(variable: Local, pushEnd: () => void, step: number, body: () => void): this {
    return this.block(() => {
      this.get(variable);
      pushEnd();
      this.op(op.i32geS).brIf(0);
      this.loop(() => {
        body();
        this.get(variable).i32(step).op(op.i32add).tee(variable);
        pushEnd();
        this.op(op.i32ltS).brIf(0);
      });
    });
  }

  /** The function's bytes, in pieces. */
  encode(): readonly (readonly number[])[] {
    const head = unsigned(this.runs.length);
    for (const [n, type] of this.runs) {
      putUnsigned(head, n);
      head.push(type);
    }
    return [[...unsigned(head.length + this.bytes.length + 1), ...head], this.bytes, [0x0b]];
  }
}

/** A module of functions over one imported shared memory `env.memory`, with i32 globals that never change. */
export class Module {
  private readonly functions: FunctionBuilder[] = [];
  private readonly exports: { name: string; index: number }[] = [];
  private readonly named = new Map<string, number>();

  /** Adds a function and gives its index. */
  add(f: FunctionBuilder): number {
    this.functions.push(f);
    return this.functions.length - 1;
  }

  /** Names a function for calls from others. */
  name(name: string, index: number): void {
    this.named.set(name, index);
  }

  export(name: string, index: number): void {
    this.exports.push({ name, index });
    this.name(name, index);
  }

  /** The function of a name. */
  indexOf(name: string): number {
    return this.named.get(name) ?? bug(`no function ${name}`);
  }

  /** The binary. `pages` is the least memory it may be given, in 64 KiB; `globals` are the values of the globals. */
  build(pages: number, globals: readonly number[]): Uint8Array {
    const types = new Map<string, number>();
    const typeBytes: number[][] = [];
    const typeOf = this.functions.map(({ parameters, results }) => {
      const key = `${parameters.join()} to ${results.join()}`;
      const known = types.get(key);
      if (known !== undefined) return known;
      typeBytes.push([0x60, ...unsigned(parameters.length), ...parameters, ...unsigned(results.length), ...results]);
      types.set(key, types.size);
      return types.size - 1;
    });
    const sizeOf = (pieces: readonly (readonly number[])[]): number => pieces.reduce((n, piece) => n + piece.length, 0);
    const pieces: (readonly number[])[] = [[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]];
    const section = (id: number, count: number, items: readonly (readonly number[])[]): void => {
      const length = unsigned(count);
      pieces.push([id, ...unsigned(length.length + sizeOf(items)), ...length]);
      for (const item of items) pieces.push(item);
    };
    const text = (s: string): number[] => { const b = [...new TextEncoder().encode(s)]; return [...unsigned(b.length), ...b]; };
    section(1, typeBytes.length, typeBytes);
    section(2, 1, [[...text('env'), ...text('memory'), 0x02, 0x03, ...unsigned(pages), ...unsigned(65536)]]);
    section(3, typeOf.length, typeOf.map(unsigned));
    section(6, globals.length, globals.map((value) => [I32, 0, 0x41, ...signed(value), 0x0b]));
    section(7, this.exports.length, this.exports.map((e) => [...text(e.name), 0, ...unsigned(e.index)]));
    section(10, this.functions.length, this.functions.flatMap((f) => f.encode()));
    const out = new Uint8Array(sizeOf(pieces));
    let at = 0;
    for (const piece of pieces) { out.set(piece, at); at += piece.length; }
    return out;
  }
}

const alphabet = new TextEncoder().encode('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
const padding = '='.charCodeAt(0);

/** Base64 without a platform's help, so that plans are the same everywhere. */
export function base64(bytes: Uint8Array): string {
  const text = new Uint8Array(Math.ceil(bytes.length / 3) * 4).fill(padding);
  let at = 0;
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const n = (bytes[i] << 16) | (left > 1 ? bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0);
    text[at] = alphabet[n >> 18];
    text[at + 1] = alphabet[(n >> 12) & 63];
    if (left > 1) text[at + 2] = alphabet[(n >> 6) & 63];
    if (left > 2) text[at + 3] = alphabet[n & 63];
    at += 4;
  }
  return new TextDecoder().decode(text);
}
