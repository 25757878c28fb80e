/** Embeddings of drawn views of examples, through a plan's entry `views`. Every draw number gives others, the same in every run. */
import type { Manifest, ModelInput } from '../../compiler/plan/manifest.js';
import { allocateInput, elementsOf, type Split } from '../data/data-set.js';
import type { Session } from '../device/device.js';
import { bindInputs, embedInputs, embedSplit } from './embed.js';
import type { DataSet } from '../data/data-set.js';
import type { Features } from './spectrum.js';

export interface ViewOptions {
  readonly session: Session;
  readonly manifest: Manifest;
  readonly split: Split;
  readonly binding: ReadonlyMap<string, ModelInput>;
  readonly limit: number;
  readonly seed: number;
}

/**
 * Embeds `draws` views of each of the first examples: the model's two views in turn (or its one), drawn anew for every round. Null when
 * the model has no views that fit its encoder. Leaves `clock.step` changed: a step of training writes its own.
 */
export async function embedViews(options: ViewOptions, draws: number): Promise<readonly Features[] | null> {
  const { session, manifest, split, binding, limit, seed } = options;
  const total = Math.min(limit, split.examples);
  const { embedBatch: batch, embeddingSize: size } = manifest;
  if (manifest.views.length === 0) return null;
  const write = (name: string, values: Int32Array): void => { if (name in session.plan.sources) session.write(name, values); };
  const results = Array.from({ length: draws }, () => new Float32Array(total * size));
  const inputs = embedInputs(session, manifest).map((model) => ({ model, data: binding.get(model.name) ?? model, rows: allocateInput(model, batch) }));
  write('clock.seed', Int32Array.of(seed));
  for (let from = 0; from < total; from += batch) {
    const count = Math.min(batch, total - from);
    const indices = Array.from({ length: count }, (_, i) => from + i);
    for (const { model, data, rows } of inputs) {
      if (count < batch) rows.fill(0, count * elementsOf(model));
      await split.rows(indices, { [data.name]: rows });
      session.write(`embed.${model.name}`, rows);
    }
    write('embed.example', Int32Array.from({ length: batch }, (_, i) => from + i));
    for (let draw = 0; draw < draws; draw++) {
      write('clock.step', Int32Array.of(Math.floor(draw / manifest.views.length)));
      write('views.which', Int32Array.of(draw % manifest.views.length));
      await session.run('views');
      const out = await session.readOutput('views', 'embedding');
      results[draw].set(out.subarray(0, count * size), from * size);
    }
  }
  return results.map((values) => ({ rows: total, size, values }));
}

/** The two sides that should agree: two views of each example, or for pairs without views both inputs. Null where there is neither. */
export async function agreeingPair(options: ViewOptions, data: DataSet): Promise<readonly [Features, Features] | null> {
  const views = await embedViews(options, 2);
  if (views !== null) return [views[0], views[1]];
  const partner = partnerBinding(options.session, options.manifest, data);
  if (partner === null) return null;
  return [await embedSplit(options), await embedSplit({ ...options, binding: partner })];
}

/** The binding that gives the represented input the other side of each pair; null when the data has no pairs that fit. */
export function partnerBinding(session: Session, manifest: Manifest, data: DataSet): ReadonlyMap<string, ModelInput> | null {
  const read = embedInputs(session, manifest);
  const [first, second] = data.info.inputs;
  const fits = data.paired && read.length === 1 && second !== undefined && second.shape.join() === first.shape.join();
  return fits ? new Map([...bindInputs(manifest, data.info), [read[0].name, second]]) : null;
}
