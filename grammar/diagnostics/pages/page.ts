/** What `sslc explain CODE` prints, and the manual shows, about a code. */

/** The words of a page. Examples are `.ssl`, or a few lines of a terminal where the mistake is not in a program. */
export interface PageText {
  readonly title: string;
  readonly explanation: string;
  /** Makes this code appear. */
  readonly wrong: string;
  /** The same, mended. */
  readonly right: string;
}

/** A model to train, for examples that are about what stands around it. */
export const shortModel = `model m {
  input x: u8[H, W, C]
  param w: [4] ~ normal(0, 1)
  let z = mean(x) * w
  minimize size: mean((z^2 - 1)^2)
  represent z
}
`;

export interface Page extends PageText {
  readonly code: string;
}
