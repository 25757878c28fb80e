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

export interface Page extends PageText {
  readonly code: string;
}
