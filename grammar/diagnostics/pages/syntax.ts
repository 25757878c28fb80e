/** Pages of SSL0: what the parser says. Every wrong example is run by a test. */
import { shortModel, type PageText } from './page.js';

export const syntaxPages: Readonly<Record<string, PageText>> = {
  SSL0001: {
    title: 'something else was expected here',
    explanation:
      'The file was understood up to the caret, and what stands there cannot go on from it. The message names what could.\nA statement ends with its line, unless the line ends in an operator or the next begins with one other than `-`, `(` and `[`.',
    wrong: 'use std.layers { linear }\nlayer twice(x: [D]) {\n  let y linear(8)(x)\n  relu(y)\n}\n',
    right: 'use std.layers { linear }\nlayer twice(x: [D]) {\n  let y = linear(8)(x)\n  relu(y)\n}\n',
  },
  SSL0002: {
    title: 'an unknown character',
    explanation: 'No part of the language is written with this character. Often it came with a copied text: curly quotes, a long dash, or an operator of another language.',
    wrong: 'fn both(a: bool, b: bool) = a && b\n',
    right: 'fn both(a: bool, b: bool) = a and b\n',
  },
  SSL0003: {
    title: 'a text without a closing quote',
    explanation: 'A text begins and ends with `"` on one line. A quote inside it is written `\\"`.',
    wrong: `${shortModel}train m {\n  data images("pictures)\n}\n`,
    right: `${shortModel}train m {\n  data images("pictures")\n}\n`,
  },
  SSL0004: {
    title: 'not a number',
    explanation: 'Numbers are written `12`, `0.5`, `1e-4` or `1_000`, with a digit on both sides of the point. Units are `deg`, `%`, `epochs`, `steps` and `examples`.',
    wrong: 'fn half(x: []) = .5 * x\n',
    right: 'fn half(x: []) = 0.5 * x\n',
  },
  SSL0005: {
    title: 'a bracket that is never closed',
    explanation: 'Every `(`, `[` and `{` needs its partner. The caret shows where it should have stood at the latest; the second place is where it was opened.',
    wrong: 'layer a(x: [D]) {\n  x\n\nlayer b(x: [D]) {\n  x\n}\n',
    right: 'layer a(x: [D]) {\n  x\n}\n\nlayer b(x: [D]) {\n  x\n}\n',
  },
  SSL0006: {
    title: 'a bracket that closes nothing',
    explanation: 'A closing bracket stands where none of its kind is open, or where another kind is open.',
    wrong: 'fn double(x: []) = 2 * x)\n',
    right: 'fn double(x: []) = 2 * x\n',
  },
  SSL0007: {
    title: 'an unknown first word',
    explanation:
      'Two words side by side begin a declaration or a statement, and the first is none that the language knows. Most often it is misspelt.\nDeclarations: use fn layer backbone energy regularizer view optimizer schedule data model train.\nStatements: let param state memory table update input view net target latent minimize regularize monitor represent stage.',
    wrong: 'enregy near(u: [D], v: [D]) = sum[d]((u[d] - v[d])^2)\n',
    right: 'energy near(u: [D], v: [D]) = sum[d]((u[d] - v[d])^2)\n',
  },
  SSL0008: {
    title: 'something that is no declaration',
    explanation: 'Outside of braces a file holds declarations only. Values belong inside one: a constant is a setting with a default.',
    wrong: 'tau = 0.5\n',
    right: 'energy scaled(tau: float = 0.5)(u: [D], v: [D]) = sum[d](u[d] * v[d]) / tau\n',
  },
  SSL0009: {
    title: 'nested too deeply',
    explanation: 'Brackets nest at most 100 deep, and an expression has at most 1,000 operators in a row and 256 levels, so that every part of the compiler can read it safely. Name the inner parts.',
    wrong: `fn f(x: []) = ${'('.repeat(101)}x${')'.repeat(101)}\n`,
    right: 'fn f(x: []) = (x)\n',
  },
  SSL0010: {
    title: 'a value that is not used',
    explanation: 'Only the last line of a body is its result. An expression on any other line would be computed and forgotten. A model has no result: it says `represent`.',
    wrong: 'fn f(x: []) {\n  x + 1\n  x + 2\n}\n',
    right: 'fn f(x: []) {\n  let y = x + 1\n  y + 2\n}\n',
  },
  SSL0011: {
    title: 'a comment of another language',
    explanation: 'Comments run from `//` to the end of the line. `///` documents the declaration below it.',
    wrong: '/* doubles a number */\nfn double(x: []) = 2 * x\n',
    right: '/// Doubles a number.\nfn double(x: []) = 2 * x\n',
  },
  SSL0012: {
    title: 'an input without a type, or with a default',
    explanation: 'Inputs are tensors: they have axes and are always given. Numbers that shape a function and may have defaults are settings, in a list of their own before the inputs.',
    wrong: 'fn scale(x: [D], by: float = 2) = x * by\n',
    right: 'fn scale(by: float = 2)(x: [D]) = x * by\n',
  },
  SSL0013: {
    title: '`else` without an `if` or a read',
    explanation: '`else` says what an `if` is otherwise, or what stands outside a tensor that is read by index. It belongs right after the read.',
    wrong: 'fn previous(x: [N]) {\n  y[i: N] = (2 * x[i - 1]) + 1 else 0\n  y\n}\n',
    right: 'fn previous(x: [N]) {\n  y[i: N] = 2 * (x[i - 1] else 0) + 1\n  y\n}\n',
  },
  SSL0014: {
    title: 'indices and definitions that cannot be read',
    explanation:
      '`y[i, j] = ...` defines a tensor by its elements, with a name for each index; `let y = ...` names a value. `sum[i, j where i != j](...)` reduces over named indices, with its body in parentheses on the same line.',
    wrong: 'fn f(x: [D]) {\n  y = 2 * x\n  y\n}\n',
    right: 'fn f(x: [D]) {\n  let y = 2 * x\n  y\n}\n',
  },
  SSL0015: {
    title: 'a comparison of three values',
    explanation: 'A comparison takes two values and gives a truth value, so chains of them do not mean what they do on paper.',
    wrong: 'fn within(x: []) = 0 < x < 1\n',
    right: 'fn within(x: []) = 0 < x and x < 1\n',
  },
  SSL0016: {
    title: 'an unknown element type',
    explanation: 'The elements of a tensor are real numbers (`[B, D]`, or `f32[B, D]`), whole numbers (`int[T]`), bytes (`u8[H, W, C]`) or truth values (`bool[T]`).',
    wrong: 'fn f(x: uint8[H, W]) = x\n',
    right: 'fn f(x: u8[H, W]) = x\n',
  },
  SSL0017: {
    title: 'an unknown escape in a text',
    explanation: 'Inside a text a backslash begins `\\"`, `\\\\`, `\\n` or `\\t`. A backslash of its own, as in a Windows path, is written twice; `/` works everywhere.',
    wrong: `${shortModel}train m {\n  data images(".\\pictures")\n}\n`,
    right: `${shortModel}train m {\n  data images("./pictures")\n}\n`,
  },
  SSL0018: {
    title: 'a setting with the type of a tensor',
    explanation: 'The first of two lists holds settings: numbers, truth values, texts, ranges and networks, known before anything runs. Tensors are inputs and go in the second list.',
    wrong: 'energy weighted(w: [D])(u: [D], v: [D]) = sum[d](w[d] * u[d] * v[d])\n',
    right: 'energy weighted(u: [D], v: [D], w: [D]) = sum[d](w[d] * u[d] * v[d])\n',
  },
  SSL0019: {
    title: 'a file that is too long',
    explanation: 'A file has at most 4 million characters and 100,000 words and signs. Programs are far shorter; data belongs in data files.',
    wrong: `fn f(x: []) = [${'1, '.repeat(50_000)}1]\n`,
    right: 'fn f(x: []) = [1, 1]\n',
  },
};
