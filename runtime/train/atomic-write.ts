/**
 * Replaces a file so that a reader, or a machine that loses power, sees the old content or the new, never a part:
 * a temporary file beside it, flushed, then renamed over it.
 */
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

export async function atomicWrite(path: string, content: Uint8Array | string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const file = await open(temporary, 'w');
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/** The rename itself must reach the disk. Some systems do not let folders be flushed; then this does nothing. */
async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch {
    // Nothing more can be done on such a system.
  }
}
