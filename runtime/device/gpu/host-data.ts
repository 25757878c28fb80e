/** Host arrays as the bytes a device buffer holds, and back. Buffers are written in words of four bytes. */
import type { Slot } from '../../../compiler/plan/plan.js';
import type { ElementType } from '../../../compiler/tensor/scalar.js';
import { bug } from '../../../grammar/diagnostics/report.js';
import type { HostArray } from '../device.js';
import { DeviceError } from '../device.js';

/** The array with the element type a tensor is stored in; other numbers are converted. */
export function asElements(element: ElementType, data: HostArray): HostArray {
  switch (element) {
    case 'f32': return data instanceof Float32Array ? data : Float32Array.from(data);
    case 'i32': return data instanceof Int32Array ? data : Int32Array.from(data);
    case 'bool': return Int32Array.from(data, (x) => (x !== 0 ? 1 : 0));
    case 'f16': return bug('f16 data is for kernels only');
    case 'u8': return data instanceof Uint8Array ? data : Uint8Array.from(data);
  }
}

export function fromBytes(element: ElementType, bytes: ArrayBuffer): HostArray {
  switch (element) {
    case 'f32': return new Float32Array(bytes);
    case 'i32': case 'bool': return new Int32Array(bytes);
    case 'f16': return bug('f16 data is for kernels only');
    case 'u8': return new Uint8Array(bytes);
  }
}

/**
 * What the host wrote to a u8 source whose examples are not whole words: a write that begins or ends inside a word needs
 * its neighbours. Empty for every other source.
 */
export class HostMirror {
  readonly bytes: Uint8Array | null;

  constructor(slot: Slot) {
    const example = slot.shape.slice(1).reduce((a, b) => a * b, 1);
    this.bytes = slot.element === 'u8' && example % 4 !== 0 ? new Uint8Array(Math.ceil(slot.bytes / 4) * 4) : null;
  }
}

/** The words to write for `data` at element `offset`, and the byte of the source they start at. */
export function wordsOf(source: string, slot: Slot, data: HostArray, offset: number, mirror: HostMirror): { readonly bytes: Uint8Array; readonly at: number } {
  const width = slot.element === 'u8' ? 1 : 4;
  const at = offset * width;
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (offset < 0 || at + bytes.byteLength > slot.bytes) {
    throw new DeviceError('validation', `${data.length} elements at ${offset} do not fit into \`${source}\`, which has ${slot.bytes / width}`);
  }
  if (mirror.bytes !== null) {
    mirror.bytes.set(bytes, at);
    const low = Math.floor(at / 4) * 4;
    return { bytes: mirror.bytes.subarray(low, Math.ceil((at + bytes.byteLength) / 4) * 4), at: low };
  }
  const ragged = bytes.byteLength % 4;
  if (at % 4 === 0 && ragged === 0) return { bytes, at };
  if (at % 4 !== 0 || at + bytes.byteLength !== slot.bytes) {
    throw new DeviceError('validation', `\`${source}\` is written in whole examples; ${bytes.byteLength} bytes at ${at} are not`);
  }
  const padded = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
  padded.set(bytes);
  return { bytes: padded, at };
}
