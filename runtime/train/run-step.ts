/** Runs one training step: a single entry, or one after the other those of a step that sees its batch in chunks. */
import type { Manifest } from '../../compiler/plan/manifest.js';
import type { Session } from '../device/device.js';

type Sizes = Pick<Manifest, 'batch' | 'chunk'>;

/** The entry whose output `reports` says how the step went. */
export const stepReports = (manifest: Sizes): 'step' | 'update' => (manifest.chunk < manifest.batch ? 'update' : 'step');

/** `send` writes what a chunk of streamed inputs reads. */
export async function runStep(session: Pick<Session, 'write' | 'run'>, manifest: Sizes, send: (chunk: number) => void = () => undefined): Promise<void> {
  const chunks = manifest.batch / manifest.chunk;
  if (chunks === 1) return session.run('step');
  const each = async (entry: string): Promise<void> => {
    for (let chunk = 0; chunk < chunks; chunk++) {
      session.write('clock.chunk', Int32Array.of(chunk));
      send(chunk);
      await session.run(entry);
    }
  };
  await each('encode');
  await session.run('step');
  await each('backward');
  await session.run('update');
}
