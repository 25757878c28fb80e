/**
 * What the parser expected, as data: chevrotain asks for a message, and gets the expectation written as JSON, which
 * `parse.ts` reads back and words. Rule 18: the error provider captures, it does not phrase.
 */
import type { IParserErrorMessageProvider, TokenType } from 'chevrotain';

/** The rule that failed and what could have stood there. */
export interface Expectation {
  readonly rule: string;
  readonly expected: readonly string[];
  readonly kind: 'token' | 'alternative' | 'more' | 'end';
}

const label = (type: TokenType): string => type.LABEL ?? type.name;

/** More errors than a person reads at once. Recovery recurses once an error, so there must be an end. */
export const maximumErrors = 100;

/** Thrown, and caught in `parser.ts`, when there are more errors than that. */
export class TooManyErrors extends Error {}

let written = 0;
/** Begins a new count of errors. */
export function resetErrors(): void {
  written = 0;
}

function write(expectation: Expectation): string {
  written++;
  if (written > maximumErrors) throw new TooManyErrors();
  return JSON.stringify(expectation);
}

export const expectationProvider: IParserErrorMessageProvider = {
  buildMismatchTokenMessage: ({ expected, ruleName }) => write({ rule: ruleName, expected: [label(expected)], kind: 'token' }),
  buildNotAllInputParsedMessage: ({ ruleName }) => write({ rule: ruleName, expected: [], kind: 'end' }),
  buildNoViableAltMessage: ({ expectedPathsPerAlt, ruleName }) => {
    const first = expectedPathsPerAlt.flatMap((paths) => paths.flatMap((path) => path.slice(0, 1)));
    return write({ rule: ruleName, expected: [...new Set(first.map(label))], kind: 'alternative' });
  },
  buildEarlyExitMessage: ({ expectedIterationPaths, ruleName }) => {
    const first = expectedIterationPaths.flatMap((path) => path.slice(0, 1));
    return write({ rule: ruleName, expected: [...new Set(first.map(label))], kind: 'more' });
  },
};
