/** Reads a file whole, or its first bytes, through gzip when it is compressed; what goes wrong is a diagnostic with the file's name. */
import { open, readFile } from 'node:fs/promises';
import { constants, gunzip } from 'node:zlib';
import { promisify } from 'node:util';
import type { Span } from '../../grammar/span.js';
import { fail } from './problem.js';

const unzip = promisify(gunzip);

/** Enough of a file for a few dozen bytes of what it holds, compressed or not. */
const headBytes = 1024;

/** `shown` is the path as the user wrote it. */
export async function readBytes(path: string, shown: string, span: Span): Promise<Uint8Array> {
  return unpacked(() => readFile(path), {}, shown, span);
}

/** The first bytes of what a file holds: all that is known of a file too short to have more. */
export async function readHead(path: string, shown: string, span: Span): Promise<Uint8Array> {
  const head = async (): Promise<Buffer> => {
    const file = await open(path);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(headBytes), 0, headBytes, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  };
  return unpacked(head, { finishFlush: constants.Z_SYNC_FLUSH }, shown, span);
}

async function unpacked(reading: () => Promise<Buffer>, options: { readonly finishFlush?: number }, shown: string, span: Span): Promise<Uint8Array> {
  let raw: Buffer;
  try {
    raw = await reading();
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') return fail('SSL5005', { path: shown, what: 'a file' }, span);
    if (code === 'EISDIR') return fail('SSL5013', { path: shown, expected: 'a file', found: 'a folder' }, span);
    return fail('SSL5001', { path: shown, problem: messageOf(error), help: null }, span);
  }
  if (raw.length < 2 || raw[0] !== 0x1f || raw[1] !== 0x8b) return raw;
  try {
    return await unzip(raw, options);
  } catch (error) {
    const cut = codeOf(error) === 'Z_BUF_ERROR';
    return fail('SSL5014', { path: shown, problem: cut ? 'its gzip data ends too early' : `its gzip data cannot be unpacked (${messageOf(error)})` }, span);
  }
}

/** The `code` of a system error, or null. */
export function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
