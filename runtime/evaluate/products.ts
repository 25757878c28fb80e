/**
 * Matrix products on the host for evaluation: C[m, n] = sum[k](A[m, k] * B[n, k]) in f32, by one WebAssembly SIMD
 * tile of 4 rows by 8 columns. B lies in panels of 8 rows, [panel][k][8], so the inner loop reads forward. Neighbour
 * searches over 10,000 x 10,000 take seconds so, where plain loops take a minute.
 */
import { bug } from '../../grammar/diagnostics/report.js';

/** The part of the engine's interface used here; the language's own type library leaves it to the browser's. */
declare const WebAssembly: {
  readonly Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Instance: new (code: WasmModule, imports: object) => { readonly exports: Readonly<Record<string, unknown>> };
};
interface WasmModule { readonly __wasm?: never }

const tileRows = 4;
const tileColumns = 8;

/** Memory of one computation with the tile bound to it. Offsets are bytes. */
export interface Workspace {
  /** Room for `length` floats, zero. */
  allocate(length: number): { readonly offset: number; readonly values: Float32Array };
  /**
   * C = A times panels: `rows` (a multiple of 4) rows of A, `aStride` floats apart, against `panels` panels of depth
   * `depth`, `panelStride` floats apart, into rows of C that are `cStride` floats apart.
   */
  multiply(a: number, aStride: number, rows: number, b: number, panelStride: number, panels: number, depth: number, c: number, cStride: number): void;
}

export const padRows = (rows: number): number => Math.ceil(rows / tileRows) * tileRows;
export const padColumns = (columns: number): number => Math.ceil(columns / tileColumns) * tileColumns;

/** A workspace that holds `floats` floats in all (each allocation is rounded up to 16). */
export function createWorkspace(floats: number): Workspace {
  const memory = new WebAssembly.Memory({ initial: Math.ceil((floats * 4 + 4096) / 65536) });
  const tile = new WebAssembly.Instance(module(), { env: { memory } }).exports['tile'];
  if (typeof tile !== 'function') return bug('the tile is not exported');
  let used = 1024;
  return {
    allocate: (length) => {
      const offset = used;
      used += Math.ceil(length / 16) * 64;
      if (used > memory.buffer.byteLength) return bug('the workspace is too small');
      return { offset, values: new Float32Array(memory.buffer, offset, length) };
    },
    multiply: (a, aStride, rows, b, panelStride, panels, depth, c, cStride) => {
      for (let panel = 0; panel < panels; panel++) {
        for (let row = 0; row < rows; row += tileRows) {
          tile(a + row * aStride * 4, aStride * 4, b + panel * panelStride * 4, c + (row * cStride + panel * tileColumns) * 4, cStride * 4, depth);
        }
      }
    },
  };
}

/** Packs rows [n, k] into panels [ceil(n / 8)][k][8]. */
export function packRows(rows: Float32Array, count: number, depth: number, into: Float32Array): void {
  for (let row = 0; row < count; row++) {
    const to = Math.floor(row / tileColumns) * depth * tileColumns + (row % tileColumns);
    for (let k = 0; k < depth; k++) into[to + k * tileColumns] = rows[row * depth + k];
  }
}

/** Packs columns: the panels of the transpose of [n, k], [ceil(k / 8)][n][8]. */
export function packColumns(rows: Float32Array, count: number, depth: number, into: Float32Array): void {
  for (let k = 0; k < depth; k++) {
    const to = Math.floor(k / tileColumns) * count * tileColumns + (k % tileColumns);
    for (let row = 0; row < count; row++) into[to + row * tileColumns] = rows[row * depth + k];
  }
}

let compiled: WasmModule | null = null;

/**
 * tile(a, aStride, b, c, cStride, depth): eight accumulators of four lanes; for each k, two vectors of the panel and
 * one splat of each of the four rows.
 */
function module(): WasmModule {
  if (compiled !== null) return compiled;
  const [a0, aStride, b, c, cStride, depth, a1, a2, a3, b0, b1, splat] = Array.from({ length: 12 }, (_, i) => i);
  const accumulator = (row: number, half: number): number => 12 + row * 2 + half;
  const get = (local: number): number[] => [0x20, local];
  const set = (local: number): number[] => [0x21, local];
  const tee = (local: number): number[] => [0x22, local];
  const constant = (value: number): number[] => [0x41, ...leb(value)];
  const add = [0x6a];
  const load = (offset: number): number[] => [0xfd, 0x00, 2, offset];
  const loadSplat = [0xfd, 0x09, 2, 0];
  const store = (offset: number): number[] => [0xfd, 0x0b, 2, offset];
  const mulVector = [0xfd, 0xe6, 0x01];
  const addVector = [0xfd, 0xe4, 0x01];
  const rowPointers = [a0, a1, a2, a3];
  const rows = [0, 1, 2, 3];
  const body = [
    ...get(a0), ...get(aStride), ...add, ...tee(a1), ...get(aStride), ...add, ...tee(a2), ...get(aStride), ...add, ...set(a3),
    0x03, 0x40,
    ...get(b), ...load(0), ...set(b0), ...get(b), ...load(16), ...set(b1),
    ...rows.flatMap((r) => [
      ...get(rowPointers[r]), ...loadSplat, ...set(splat),
      ...[b0, b1].flatMap((vector, half) => [...get(accumulator(r, half)), ...get(splat), ...get(vector), ...mulVector, ...addVector, ...set(accumulator(r, half))]),
      ...get(rowPointers[r]), ...constant(4), ...add, ...set(rowPointers[r]),
    ]),
    ...get(b), ...constant(32), ...add, ...set(b),
    ...get(depth), ...constant(-1), ...add, ...tee(depth), 0x0d, 0x00,
    0x0b,
    ...rows.flatMap((r) => [
      ...get(c), ...get(accumulator(r, 0)), ...store(0), ...get(c), ...get(accumulator(r, 1)), ...store(16),
      ...get(c), ...get(cStride), ...add, ...set(c),
    ]),
    0x0b,
  ];
  const locals = [2, 3, 0x7f, 11, 0x7b];
  const code = [...locals, ...body];
  const section = (id: number, content: readonly number[]): number[] => [id, ...leb(content.length), ...content];
  const text = (s: string): number[] => [s.length, ...Buffer.from(s)];
  compiled = new WebAssembly.Module(Uint8Array.from([
    0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [1, 0x60, 6, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0]),
    ...section(2, [1, ...text('env'), ...text('memory'), 2, 0, 1]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...text('tile'), 0, 0]),
    ...section(10, [1, ...leb(code.length), ...code]),
  ]));
  return compiled;
}

/** Signed LEB128; the positive lengths used here read the same as unsigned below 64, and are widened above. */
function leb(value: number): number[] {
  const out: number[] = [];
  let v = value;
  for (;;) {
    const byte = v & 0x7f;
    v >>= 7;
    if ((v === 0 && (value < 0 || byte < 0x80) && (byte & 0x40) === 0) || (v === -1 && (byte & 0x40) !== 0)) {
      out.push(byte);
      return out;
    }
    out.push(byte | 0x80);
  }
}
