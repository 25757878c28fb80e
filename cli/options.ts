/** Readers of option values. What is wrong is a usage error that names the option. */
import { usage } from './failure.js';

/** `name=value`, gathered over repetitions. */
export function assignment(option: string): (text: string, before: Readonly<Record<string, string>>) => Readonly<Record<string, string>> {
  return (text, before) => {
    const at = text.indexOf('=');
    if (at <= 0) usage(`${option} ${text}: expected NAME=VALUE`, `for instance \`${option} tau=0.2\``);
    const name = text.slice(0, at).trim();
    if (name in before) usage(`${option} ${name} is given twice`);
    return { ...before, [name]: text.slice(at + 1).trim() };
  };
}

/** A whole number of at least `least`. */
export function whole(option: string, least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least) usage(`${option} ${text}: expected a whole number of at least ${least}`);
    return value;
  };
}

/** One of a few words. */
export function oneOf<W extends string>(option: string, words: readonly W[]): (text: string) => W {
  return (text) => {
    const found = words.find((w) => w === text);
    return found ?? usage(`${option} ${text}: expected one of ${words.join(', ')}`);
  };
}

/** `--virtual-batch`, `--batch-norm` and `--precision`, which stand for lines of the train block. */
export interface LineOptions {
  readonly virtualBatch?: number;
  readonly batchNorm?: string;
  readonly precision?: string;
}

/** Options with these as overrides. */
export function withLines<O extends LineOptions & { readonly set?: Readonly<Record<string, string>> }>(options: O): O {
  const { virtualBatch, batchNorm, precision } = options;
  const lines = { ...(virtualBatch === undefined ? {} : { virtual_batch: `${virtualBatch}` }), ...(batchNorm === undefined ? {} : { batch_norm: batchNorm }), ...(precision === undefined ? {} : { precision }) };
  return Object.keys(lines).length === 0 ? options : { ...options, set: { ...options.set, ...lines } };
}
