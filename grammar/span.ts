/**
 * Where a piece of source text lies. Every syntax node, tensor, kernel and diagnostic carries one, so an
 * error anywhere in the compiler can point at a line of `.ssl`.
 */

/** A piece of a source file: UTF-16 offsets, `start` inclusive, `end` exclusive. */
export interface Span {
  /** The file's name as the user knows it (a path, `std/vision.ssl`, or `<input>`). */
  readonly file: string;
  readonly start: number;
  readonly end: number;
}

/** A source file as read. */
export interface SourceFile {
  readonly name: string;
  readonly text: string;
}

/** The smallest span that covers both; they lie in one file. */
export function cover(a: Span, b: Span): Span {
  return { file: a.file, start: Math.min(a.start, b.start), end: Math.max(a.end, b.end) };
}
