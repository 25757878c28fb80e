/** What is measured of the embeddings of a fixed batch while a model trains. */
import type { Manifest, ModelInput } from '../../compiler/plan/manifest.js';
import type { DataSet } from '../data/data-set.js';
import type { Session } from '../device/device.js';
import { embedSplit } from '../evaluate/embed.js';
import { alignment, covarianceSpectrum, meanLength, participationRatio, uniformity } from '../evaluate/quality.js';
import { spreadOf } from '../evaluate/spectrum.js';
import { agreeingPair } from '../evaluate/views.js';

/** Most examples in the batch whose embeddings are watched. */
const watched = 512;

export interface EmbeddingFigures {
  /** Mean deviation per dimension of unit vectors: 1/sqrt(D) when spread over the sphere, 0 when collapsed. */
  readonly std: number;
  /** Mean Euclidean length of the embeddings as they are. */
  readonly length: number;
  /** RankMe. */
  readonly rank: number;
  /** Participation ratio of the covariance. */
  readonly participation: number;
  /** Of two views of each example; null where no views fit the encoder. */
  readonly alignment: number | null;
  readonly uniformity: number;
}

/** Measures the first held-out examples (training examples where there are no others). */
export async function measureEmbeddings(session: Session, manifest: Manifest, data: DataSet, binding: ReadonlyMap<string, ModelInput>, seed: number): Promise<EmbeddingFigures> {
  const options = { session, manifest, split: data.test ?? data.train, binding, limit: watched, seed };
  const features = await embedSplit(options);
  const pair = await agreeingPair(options, data);
  return {
    ...spreadOf(features),
    length: meanLength(features),
    participation: participationRatio(covarianceSpectrum(features)),
    alignment: pair === null ? null : alignment(...pair),
    uniformity: features.rows < 2 ? 0 : uniformity(features),
  };
}
