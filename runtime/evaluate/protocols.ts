/** How every figure of an evaluation was measured, in words. */
import { clusterProtocol, type ClusterOptions } from './clusters.js';
import { linearProtocol, type LinearOptions } from './linear-probe.js';
import { lowLabelProtocol, type LowLabelOptions } from './low-label.js';
import { knnProtocol, type KnnOptions } from './nearest.js';

/** Examples whose embeddings are measured without labels, and views drawn of each. */
export const sample = { examples: 512, draws: 8 } as const;

export type ProtocolName = 'encoder' | 'knn' | 'linear' | 'lowLabel' | 'clusters' | 'retrieval' | 'spread' | 'views';

export interface ProtocolFacts {
  readonly step: number | null;
  /** The checkpoint was asked for by its step or file. */
  readonly chosen: boolean;
  readonly train: number;
  /** `on 10000 held-out examples`. */
  readonly where: string;
  /** Each query leaves itself out of the bank. */
  readonly itself: boolean;
  readonly knn: KnnOptions;
  readonly linear: LinearOptions;
  readonly lowLabel: LowLabelOptions;
  readonly clusters: ClusterOptions;
}

export function protocolsOf({ step, chosen, train, where, itself, knn, linear, lowLabel, clusters }: ProtocolFacts): Readonly<Record<ProtocolName, string>> {
  return {
    encoder: `${chosen ? `the checkpoint that was asked for (step ${step})` : `the last checkpoint${step === null ? '' : ` (step ${step})`}, not the best`}; untrained: the same network as training began with; pixels: raw inputs / 255, averaged over squares beyond 4,096 values`,
    knn: `${knnProtocol(knn)}; ${train} training embeddings without augmentation, ${where}${itself ? ', each leaving itself out' : ''}`,
    linear: `${linearProtocol(linear)}; fitted on ${train} training embeddings without augmentation, ${where}`,
    lowLabel: `${lowLabelProtocol(lowLabel)}; of ${train} training embeddings, ${where}`,
    clusters: `${clusterProtocol(clusters)}; ${where}`,
    retrieval: 'retrieval: cosine of L2-normalized embeddings, centred with the gallery mean, from the first drawing to the second and back; held-out concepts among held-out ones, and among all',
    spread: `std: mean over dimensions of the deviation of L2-normalized embeddings (1/sqrt(D) when spread over the sphere); rank: RankMe, exp of the entropy of the singular values; participation: (sum l)^2 / sum l^2 of the eigenvalues of the covariance; alpha: minus the slope of ln l_k against ln k over those above 1e-6 of the largest; uniformity: ln of the mean of exp(-2 d^2) over pairs of unit embeddings; all on the first ${sample.examples} embeddings, ${where}`,
    views: `alignment: mean squared distance of unit embeddings of two views; LiDAR: exp of the entropy of the eigenvalues of W^(-1/2) B W^(-1/2), W within and B between the first ${sample.examples} examples, ${sample.draws} views of each, 1e-4 on the diagonal of W`,
  };
}
