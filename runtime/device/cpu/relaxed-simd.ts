/** Whether this Node runs relaxed SIMD (fused multiply-add on four lanes), turning it on where it waits behind a flag. */
import { setFlagsFromString } from 'node:v8';
import { webAssembly } from './webassembly.js';

/** (func (result v128) f32x4.relaxed_madd of three constants). */
function probe(): boolean {
  const constant = [0xfd, 12, ...new Array<number>(16).fill(0)];
  const body = [0, ...constant, ...constant, ...constant, 0xfd, 0x85, 0x02, 0x0b];
  const bytes = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0, 10, body.length + 2, 1, body.length, ...body];
  return webAssembly.validate(new Uint8Array(bytes));
}

/** True when plans with `relaxed` code can run. Must be asked before such code is compiled. */
export function relaxedSimdSupported(): boolean {
  if (probe()) return true;
  // From Node 22 on it needs no flag, and V8 complains about flags it does not know.
  if (Number(process.versions.node.split('.')[0]) >= 22) return false;
  setFlagsFromString('--experimental-wasm-relaxed-simd');
  return probe();
}
