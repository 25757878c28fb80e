/**
 * Remembers measured schedules between runs: one JSON file in the user's cache folder, by device (whose name holds adapter and
 * driver) and kernel shape. A file of another version of the compiler is of no use; one that cannot be read is reported
 * and passed over.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { atomicWrite } from '../train/atomic-write.js';
import { cacheFolder } from './cache-folder.js';

/** Winners by kernel shape. */
export type Schedules = Readonly<Record<string, string>>;

export interface ScheduleCache {
  readonly path: string;
  /** The compiler that the schedules are for. */
  readonly compiler: string;
}

interface CacheFile {
  readonly format: 'sslc schedules';
  readonly compiler: string;
  readonly devices: Readonly<Record<string, Schedules>>;
}

export function scheduleCache(environment: Readonly<Record<string, string | undefined>>, compiler: string): ScheduleCache {
  return { path: join(cacheFolder(environment), 'schedules.json'), compiler };
}

/** What was measured on a device; nothing where there is no file. `warn` is told of a file that is not ours. */
export function readSchedules(cache: ScheduleCache, device: string, warn: (problem: string) => void): Schedules {
  return readFile(cache, warn)[device] ?? {};
}

/** Adds winners to what is known of a device. */
export async function writeSchedules(cache: ScheduleCache, device: string, winners: Schedules): Promise<void> {
  const devices = readFile(cache, () => undefined);
  const content: CacheFile = { format: 'sslc schedules', compiler: cache.compiler, devices: { ...devices, [device]: { ...devices[device], ...winners } } };
  mkdirSync(dirname(cache.path), { recursive: true });
  await atomicWrite(cache.path, `${JSON.stringify(content, null, 1)}\n`);
}

function readFile(cache: ScheduleCache, warn: (problem: string) => void): CacheFile['devices'] {
  let text: string;
  try {
    text = readFileSync(cache.path, 'utf8');
  } catch {
    return {};
  }
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    content = null;
  }
  if (!isCacheFile(content)) {
    warn(`${cache.path} holds no measured schedules and is not used; \`--tune\` writes it anew`);
    return {};
  }
  return content.compiler === cache.compiler ? content.devices : {};
}

const isRecord = (x: unknown): x is Readonly<Record<string, unknown>> => typeof x === 'object' && x !== null && !Array.isArray(x);

function isCacheFile(x: unknown): x is CacheFile {
  return isRecord(x) && x['format'] === 'sslc schedules' && typeof x['compiler'] === 'string' && isRecord(x['devices'])
    && Object.values(x['devices']).every((d) => isRecord(d) && Object.values(d).every((label) => typeof label === 'string'));
}
