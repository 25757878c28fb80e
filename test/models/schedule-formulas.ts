/** The schedules of the papers and their official code, in plain float64 code: the value at each step of a run. */
export interface ScheduleFormula {
  readonly name: string;
  readonly set: Readonly<Record<string, string>>;
  /** A schedule `wrapped` to call instead, where a setting cannot be given from outside. */
  readonly text?: string;
  readonly steps: number;
  readonly epochs: number;
  readonly value: (step: number) => number;
}

/** SGDR: end + (base - end)(1 + cos(pi s / S)) / 2. */
const halfCosine = (from: number, to: number, s: number, S: number): number => to + 0.5 * (from - to) * (1 + Math.cos((Math.PI * s) / S));

const plain = { steps: 12, epochs: 3 };

export const schedules: readonly ScheduleFormula[] = [
  { ...plain, name: 'constant', set: { value: '0.7' }, value: () => 0.7 },
  { ...plain, name: 'linear', set: { from: '2', to: '0.5' }, value: (s) => 2 - 1.5 * s / 12 },
  // BERT: a rise from 0 over the warm-up, then down to 0
  { ...plain, name: 'linear', set: { warmup: '4' }, value: (s) => (s < 4 ? s / 4 : 1 - (s - 4) / 8) },
  { ...plain, name: 'polynomial', set: { from: '2', to: '0.5', power: '3' }, value: (s) => 0.5 + 1.5 * (1 - s / 12) ** 3 },
  { ...plain, name: 'cosine', set: {}, value: (s) => halfCosine(1, 0, s, 12) },
  // Barlow Twins and VICReg: ten epochs from 0, then to a thousandth of the base
  { ...plain, name: 'cosine', set: { to: '0.001', warmup: '4' }, value: (s) => (s < 4 ? s / 4 : halfCosine(1, 0.001, s - 4, 8)) },
  // SwAV: from 0.3 to 4.8, then to 0.0048
  { ...plain, name: 'cosine', set: { from: '4.8', to: '0.0048', warmup: '4', start: '0.0625' }, value: (s) => (s < 4 ? 0.3 + (4.8 - 0.3) * s / 4 : halfCosine(4.8, 0.0048, s - 4, 8)) },
  // BYOL's momentum: 1 - (1 - base)(cos(pi k / K) + 1) / 2
  { ...plain, name: 'cosine', set: { from: '0.996', to: '1' }, value: (s) => 1 - (1 - 0.996) * (Math.cos((Math.PI * s) / 12) + 1) / 2 },
  // MoCo: 0.5 (1 + cos(pi epoch / epochs)), the same for all steps of an epoch
  { ...plain, name: 'cosine', set: { per: 'epoch' }, value: (s) => 0.5 * (1 + Math.cos((Math.PI * Math.floor(s / 4)) / 3)) },
  { steps: 21, epochs: 3, name: 'linear', set: { per: 'epoch' }, value: (s) => 1 - Math.floor(s / 7) / 3 },
  { ...plain, name: 'milestones', set: {}, text: 'use std.schedules { milestones }\nschedule wrapped() = milestones(at: [3, 6])', value: (s) => (s < 3 ? 1 : s < 6 ? 0.1 : 0.01) },
  { ...plain, name: 'after', set: { length: '4' }, value: (s) => (s < 4 ? 0 : 1) },
  { ...plain, name: 'warmup', set: { length: '4', to: '3' }, value: (s) => 3 * Math.min(s / 4, 1) },
  // DINO's teacher temperature: 0.04 to 0.07, the same for all steps of an epoch
  { ...plain, name: 'warmup', set: { length: '8', from: '0.04', to: '0.07', per: 'epoch' }, value: (s) => 0.04 + 0.03 * Math.min(Math.floor(s / 4) / 2, 1) },
];
