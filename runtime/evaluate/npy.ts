/** NumPy's `.npy` format, version 1.0: what `sslc embed` writes. Little-endian, row-major. */
import type { HostArray } from '../device/device.js';

/** Bytes of a `.npy` file. */
export function encodeNpy(data: HostArray, shape: readonly number[]): Uint8Array {
  const kind = data instanceof Float32Array ? '<f4' : data instanceof Int32Array ? '<i4' : '|u1';
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const text = `{'descr': '${kind}', 'fortran_order': False, 'shape': (${sizes}), }`;
  const padding = (64 - ((10 + text.length + 1) % 64)) % 64;
  const header = Buffer.from(`${text}${' '.repeat(padding)}\n`, 'latin1');
  const out = new Uint8Array(10 + header.length + data.byteLength);
  out.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 255, header.length >> 8]);
  out.set(header, 10);
  out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + header.length);
  return out;
}
