/**
 * A tensor program as text, one tensor a line: `compile --emit tensor`, goldens, and error messages of the
 * verifier. Output indices are i0, i1, ..., reduction indices r0, r1, ...; a computation used more than once in a
 * body stands under its line as `where t0 = ...`. The same program always gives the same bytes.
 */
import type { Span } from '../../grammar/span.js';
import type { Program, Tensor } from './program.js';
import type { BinaryOperator, Scalar } from './scalar.js';
import { operands, visit } from './scalar.js';

export interface PrintOptions {
  /** Where a span lies, for people: `model.ssl:12`; null for nothing. The file name alone by default. */
  readonly place?: (span: Span) => string | null;
}

/** The whole program: tensors in order, then outputs and updates. */
export function printProgram(program: Program, options: PrintOptions = {}): string {
  const lines = [`program ${program.name}`];
  for (const tensor of program.tensors) lines.push(...printTensor(tensor, options));
  for (const o of program.outputs) lines.push(`output ${o.name} = %${o.tensor}`);
  for (const u of program.updates) lines.push(`update %${u.source}${u.rows === null ? '' : ` rows %${u.rows}`} <- %${u.value}`);
  return lines.join('\n') + '\n';
}

/** One tensor: its line, and a line for each shared part of its body. */
export function printTensor(tensor: Tensor, options: PrintOptions = {}): string[] {
  const head = `%${tensor.id} ${tensor.origin.name}: ${tensor.element}[${tensor.shape.join(',')}] = `;
  const span = tensor.origin.span;
  const place = span === null ? null : options.place === undefined ? span.file : options.place(span);
  const tail = place === null ? '' : `   // ${place}`;
  switch (tensor.kind) {
    case 'source': return [`${head}source ${tensor.role} "${tensor.name}"${tail}`];
    case 'window': return [`${head}window %${tensor.of} at ${tensor.offset}${tail}`];
    case 'pack': return [`${head}pack(${tensor.parts.map((p, i) => `%${p} at ${tensor.offsets[i]}`).join(', ')})${tail}`];
    case 'routine': return [`${head}${tensor.op}(${tensor.inputs.map((i) => `%${i}`).join(', ')})${tail}`];
    case 'comprehension': {
      const rank = tensor.shape.length;
      const { text, parts } = printShared(tensor.body, (axis) => (axis < rank ? `i${axis}` : `r${axis - rank}`));
      const body = tensor.reduce === null ? text : `${tensor.reduce.op}[${tensor.reduce.extents.join(',')}] (${text})`;
      return [head + body + tail, ...parts.map((p) => `    where ${p}`)];
    }
  }
}

/** A scalar on one line; `nameOf` names its index variables. */
export function printScalar(s: Scalar, nameOf: (axis: number) => string = (axis) => `i${axis}`): string {
  return print(s, 0, nameOf, new Map());
}

/** A scalar whose large shared parts are named. */
function printShared(root: Scalar, nameOf: (axis: number) => string): { readonly text: string; readonly parts: readonly string[] } {
  const uses = new Map<Scalar, number>();
  const sizes = new Map<Scalar, number>();
  const named = new Map<Scalar, string>();
  const parts: string[] = [];
  visit(root, (s) => { for (const o of operands(s)) uses.set(o, (uses.get(o) ?? 0) + 1); });
  visit(root, (s) => {
    const size = operands(s).reduce((n, o) => n + (named.has(o) ? 1 : (sizes.get(o) ?? 1)), 1);
    sizes.set(s, size);
    if ((uses.get(s) ?? 0) > 1 && size > 6) {
      const text = print(s, 0, nameOf, named);
      const name = `t${named.size}`;
      named.set(s, name);
      parts.push(`${name} = ${text}`);
    }
  });
  return { text: print(root, 0, nameOf, named), parts };
}

const infix: { readonly [K in BinaryOperator]?: { readonly text: string; readonly level: number } } = {
  or: { text: 'or', level: 1 }, and: { text: 'and', level: 2 },
  lt: { text: '<', level: 3 }, le: { text: '<=', level: 3 }, gt: { text: '>', level: 3 }, ge: { text: '>=', level: 3 }, eq: { text: '==', level: 3 }, ne: { text: '!=', level: 3 },
  add: { text: '+', level: 4 }, sub: { text: '-', level: 4 },
  mul: { text: '*', level: 5 }, div: { text: '/', level: 5 }, idiv: { text: '//', level: 5 }, mod: { text: '%', level: 5 },
};

function print(s: Scalar, level: number, nameOf: (axis: number) => string, named: ReadonlyMap<Scalar, string>): string {
  const name = named.get(s);
  if (name !== undefined) return name;
  const sub = (x: Scalar, at = 0): string => print(x, at, nameOf, named);
  const wrap = (text: string, own: number): string => (own < level ? `(${text})` : text);
  switch (s.kind) {
    case 'const': return s.type === 'bool' ? (s.value !== 0 ? 'true' : 'false') : wrap(String(s.value), s.value < 0 ? 4 : 9);
    case 'index': return nameOf(s.axis);
    case 'read': {
      const read = s.at.length === 0 ? `%${s.tensor}` : `%${s.tensor}[${s.at.map((i) => tight(sub(i))).join(', ')}]`;
      return s.otherwise === null ? read : `(${read} else ${sub(s.otherwise)})`;
    }
    case 'unary':
      if (s.op === 'neg') return wrap(`-${sub(s.x, 6)}`, 4);
      return s.op === 'not' ? wrap(`not ${sub(s.x, 6)}`, 2) : `${s.op}(${sub(s.x)})`;
    case 'binary': {
      const operator = infix[s.op];
      if (operator === undefined) return `${s.op}(${sub(s.a)}, ${sub(s.b)})`;
      return wrap(`${sub(s.a, operator.level)} ${operator.text} ${sub(s.b, operator.level + 1)}`, operator.level);
    }
    case 'select': return wrap(`if ${sub(s.condition, 1)} then ${sub(s.a, 1)} else ${sub(s.b, 1)}`, 0);
    case 'cast': return `${s.type}(${sub(s.x)})`;
    case 'draw': return `draw(site ${sub(s.site)}.${s.lane}, ${[s.seed, s.step, s.example, s.element].map((o) => sub(o)).join(', ')})`;
    case 'accumulator': return `accumulator${s.slot}`;
  }
}

/** Indices without spaces around their operators, as long as they are plain arithmetic. */
function tight(text: string): string {
  return /^[\w+\-*/% ()]*$/.test(text) && !/[a-z]{2}/.test(text) ? text.replaceAll(' ', '') : text;
}
