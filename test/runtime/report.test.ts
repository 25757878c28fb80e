import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { niceTicks } from '../../runtime/report/chart.js';
import { concludeRun } from '../../runtime/report/conclude-run.js';
import { layoutPoints } from '../../runtime/report/layout.js';
import { encodePng } from '../../runtime/report/png.js';
import { readState } from '../../runtime/train/run-state.js';
import { train } from '../../runtime/train/train.js';
import { fakeModel, toyData } from './fake-session.js';

test('a run ends in an evaluation and a page that loads nothing from elsewhere', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'report-'));
  const directory = join(folder, 'run');
  try {
    const data = toyData(128);
    const { compiled, session } = fakeModel({ steps: 60 }, data);
    await train({ compiled, session, data, directory, seed: 1, resume: false, events: () => undefined });
    const before = await readState(session, compiled.manifest);
    const clock: number[] = [];
    const watched: typeof session = {
      ...session,
      write: (source, values, offset) => { if (source === 'clock.step') clock.push(values[0]); session.write(source, values, offset); },
      run: async (entry) => { if (entry === 'init') expect(clock[clock.length - 1], 'the untrained encoder is the one of the start').toBe(0); await session.run(entry); },
    };
    const { evaluation, report } = await concludeRun({
      session: watched, manifest: compiled.manifest, data, seed: 1, step: 60, directory,
      source: { name: 'toy.ssl', text: 'model toy { </pre><script>alert(1)</script> }' }, facts: { device: 'none' },
    });
    expect(evaluation.rows.map((r) => r.name)).toEqual(['trained', 'untrained', 'pixels']);
    expect(evaluation.rows[2].knn).toBe(1);
    expect(await readState(session, compiled.manifest)).toEqual(before);
    expect(existsSync(join(directory, 'evaluation.json'))).toBe(true);
    const html = readFileSync(report, 'utf8');
    expect(html).not.toMatch(/(src|href)="(?!data:)/);
    expect(html).not.toMatch(/url\((?!data:)|@import|fetch\(/);
    expect(html).not.toContain('<script>alert');
    expect(html.match(/<svg class="chart"/g)?.length).toBeGreaterThanOrEqual(3);
    expect(html.match(/class="row"/g)).toHaveLength(10);
    expect(html).toContain('id="map"');
    expect(html).not.toMatch(/NaN|undefined/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('PNG files decode to the same pixels', async () => {
  for (const channels of [1, 3] as const) {
    const pixels = Uint8Array.from({ length: 5 * 3 * channels }, (_, i) => (i * 37) % 256);
    const raw = sharp(encodePng({ width: 5, height: 3, channels, pixels }));
    const decoded = channels === 1 ? await raw.extractChannel(0).raw().toBuffer() : await raw.raw().toBuffer();
    expect([...decoded]).toEqual([...pixels]);
  }
});

test('ticks cover their range, and the map stays in its square', () => {
  expect(niceTicks(0, 10, 5)).toEqual([0, 2, 4, 6, 8, 10]);
  const values = Float32Array.from({ length: 60 * 5 }, (_, i) => Math.sin(i * 12.9898) + (i < 150 ? 3 : 0));
  const points = layoutPoints({ rows: 60, size: 5, values }, 10, 120);
  expect(points.every((p) => p.x >= 0 && p.x <= 1 && p.y >= 0 && p.y <= 1)).toBe(true);
});
