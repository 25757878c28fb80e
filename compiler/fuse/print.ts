/** Kernels as readable loop nests: what `sslc compile --emit kernels` shows. */
import type { Program } from '../tensor/program.js';
import type { BinaryOperator, Scalar, TensorId } from '../tensor/scalar.js';
import { operands, visit } from '../tensor/scalar.js';
import type { Kernel, KernelProgram } from './kernel.js';
import { loopExtents } from './inline-maps.js';

const infix: { readonly [K in BinaryOperator]?: string } = {
  add: '+', sub: '-', mul: '*', div: '/', lt: '<', le: '<=', gt: '>', ge: '>=', eq: '==', ne: '!=', and: 'and', or: 'or', mod: '%',
};

const variableNames = 'ijklmnpqrstuvw';

/** The name of index variable `v`. */
function variable(v: number): string {
  return v < variableNames.length ? variableNames[v] : `i${v}`;
}

/** A tensor's name and number: `%12 f.conv1.y`. */
function tensorName(program: Program, id: TensorId): string {
  const tensor = program.tensors[id];
  return `%${id} ${tensor.kind === 'source' ? tensor.name : tensor.origin.name}`;
}

/** Scalars as text; what is used more than once gets a line of its own. */
class ScalarPrinter {
  readonly lines: string[] = [];
  private readonly names = new Map<Scalar, string>();

  constructor(private readonly program: Program) {}

  print(root: Scalar): string {
    const uses = new Map<Scalar, number>();
    visit(root, (s) => { for (const o of operands(s)) uses.set(o, (uses.get(o) ?? 0) + 1); });
    visit(root, (s) => {
      if ((uses.get(s) ?? 0) < 2 || this.names.has(s) || s.kind === 'const' || s.kind === 'index' || s.kind === 'accumulator' || s.type === 'i32') return;
      const text = this.text(s);
      const name = `t${this.names.size}`;
      this.lines.push(`let ${name} = ${text}`);
      this.names.set(s, name);
    });
    return this.text(root);
  }

  private text(s: Scalar): string {
    const name = this.names.get(s);
    if (name !== undefined) return name;
    switch (s.kind) {
      case 'const': return s.type === 'bool' ? String(s.value !== 0) : s.type === 'f32' && Number.isInteger(s.value) && Math.abs(s.value) < 1e15 ? s.value.toFixed(1) : String(s.value);
      case 'index': return variable(s.axis);
      case 'read': {
        const access = `%${s.tensor}[${s.at.map((i) => this.text(i)).join(', ')}]`;
        return s.otherwise === null ? access : `(${access} else ${this.text(s.otherwise)})`;
      }
      case 'unary': return s.op === 'neg' ? `-${this.text(s.x)}` : `${s.op}(${this.text(s.x)})`;
      case 'binary': {
        const sign = infix[s.op];
        return sign === undefined ? `${s.op}(${this.text(s.a)}, ${this.text(s.b)})` : `(${this.text(s.a)} ${sign} ${this.text(s.b)})`;
      }
      case 'select': return `(if ${this.text(s.condition)} then ${this.text(s.a)} else ${this.text(s.b)})`;
      case 'cast': return `${s.type}(${this.text(s.x)})`;
      case 'draw': return `draw(site ${this.text(s.site)}.${s.lane}, ${this.text(s.example)}, ${this.text(s.element)})`;
      case 'accumulator': return `acc${s.slot}`;
    }
  }

  /** The tensor a store writes. */
  target(id: TensorId): string {
    return tensorName(this.program, id);
  }
}

/** All kernels of a program, with the tensors they read. */
export function printKernels(kernels: KernelProgram): string {
  const head = `kernels of ${kernels.name}: ${kernels.kernels.length}`;
  return [head, ...kernels.kernels.map((k) => printKernel(kernels.program, k))].join('\n\n') + '\n';
}

/** One kernel. */
export function printKernel(program: Program, kernel: Kernel): string {
  const printer = new ScalarPrinter(program);
  const p = kernel.extents.length;
  const extents = loopExtents(kernel);
  const loops = (from: number, to: number): string => extents.slice(from, to).map((n, i) => `${variable(from + i)} < ${n}`).join(', ') || 'once';
  const axes = (list: readonly number[]): string => (list.length === 0 ? '-' : list.map(variable).join(' '));
  const lines: string[] = [];
  const emit = (indent: number, make: () => string, named: (text: string) => string = (text) => text): void => {
    const before = printer.lines.length;
    const text = make();
    for (const l of printer.lines.slice(before)) lines.push(' '.repeat(indent) + named(l));
    lines.push(' '.repeat(indent) + named(text));
  };
  switch (kernel.kind) {
    case 'map': break;
    case 'reduce':
      lines.push(`    reduce ${loops(p, extents.length)}`);
      kernel.reductions.forEach((r, i) => emit(6, () => `acc${i} ${r.op}= ${printer.print(r.body)}`));
      break;
    case 'contract':
      lines.push(`    contract ${loops(p, extents.length)}  rows ${axes(kernel.rows)}  columns ${axes(kernel.columns)}  batch ${axes(kernel.batch)}`);
      emit(6, () => `left  = ${printer.print(kernel.left)}`);
      emit(6, () => `right = ${printer.print(kernel.right)}`);
      break;
    case 'scatter':
      lines.push(`    items ${loops(p, extents.length)}`);
      kernel.keys.forEach((k) => emit(6, () => `key ${variable(k.axis)} = ${printer.print(k.value)}`));
      emit(6, () => `acc0 += ${printer.print(kernel.value)}`);
      break;
    case 'routine':
      lines.push(`    ${kernel.op} ${loops(p, extents.length)}`);
      kernel.operands.forEach((operand, i) => emit(6, () => `operand ${i} = ${printer.print(operand)}`));
      break;
    case 'online': {
      const inner = p + kernel.streamedExtents.length;
      const { combine } = kernel;
      lines.push(`    stream ${loops(p, inner)}  rows ${axes(kernel.rows)}  columns ${axes(kernel.columns)}  batch ${axes(kernel.batch)}`);
      const scoreName = (slot: number): string => (kernel.scores.length === 1 ? 'score' : `score${slot}`);
      const named = (text: string): string => text.replace(/\bacc(\d+)\b/g, (_, slot: string) => scoreName(Number(slot)));
      kernel.scores.forEach((score, slot) => {
        lines.push(`      ${scoreName(slot)}: sum ${score.inner.map((v) => `${variable(v)} < ${extents[v]}`).join(', ')}`);
        emit(8, () => `left  = ${printer.print(score.left)}`);
        emit(8, () => `right = ${printer.print(score.right)}`);
      });
      if (combine.kind === 'reduce') {
        combine.reductions.forEach((r, i) => emit(6, () => `#${i} ${r.op}= ${printer.print(r.body)}`, (text) => named(text).replace(/^#/, 'acc')));
      } else {
        combine.products.forEach((m, k) => {
          const number = combine.products.length > 1 ? `${k}` : '';
          emit(6, () => `weight${number} = ${printer.print(m.weight)}`, named);
          emit(6, () => `value${number}  = ${printer.print(m.value)}`);
        });
      }
      break;
    }
  }
  for (const s of kernel.stores) emit(4, () => `${printer.target(s.tensor)} = ${printer.print(s.value)}`);
  const places = kernel.origins.map((o) => o.name).join('; ');
  return [`${kernel.kind} ${kernel.name}  // ${places}`, `  for ${loops(0, p)}`, ...lines].join('\n');
}
