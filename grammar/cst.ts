/** Typed access to chevrotain's concrete syntax tree, and what the tree builders share: places, reports, depth. */
import type { CstNode, IToken } from 'chevrotain';
import type { Expression, Identifier } from './ast.js';
import type { ArgumentsOf, Code, Diagnostic } from './diagnostics/diagnostic.js';
import { diagnostic } from './diagnostics/report.js';
import type { SourceFile, Span } from './span.js';

/** The tokens a rule consumed under a name. */
export function tokensOf(node: CstNode | undefined, name: string): readonly IToken[] {
  return (node?.children[name] ?? []).filter((element): element is IToken => !('children' in element));
}

/** The nodes a rule made under a name. */
export function nodesOf(node: CstNode | undefined, name: string): readonly CstNode[] {
  return (node?.children[name] ?? []).filter((element): element is CstNode => 'children' in element);
}

/** The deepest an expression may be: later passes recurse over it. */
export const maximumDepth = 256;

/** What building needs besides the tree: the file, the reports so far, and how deep expressions have become. */
export class Build {
  readonly diagnostics: Diagnostic[] = [];
  private deep = false;
  private readonly heights = new WeakMap<Expression, number>();
  /** The height of the deepest expression since it was last reset. */
  peak = 0;

  constructor(readonly source: SourceFile) {}

  report<C extends Code>(code: C, span: Span, args: ArgumentsOf<C>): void {
    this.diagnostics.push(diagnostic(code, span, args));
  }

  /** A span inside the file; recovery may leave its ends out of order, and then it is empty. */
  place(start: number, end: number): Span {
    const first = Math.min(start, this.source.text.length);
    return { file: this.source.name, start: first, end: Math.min(Math.max(first, end), this.source.text.length) };
  }

  /** The span of a node, or an empty one at `fallback` where recovery left it empty. */
  span(node: CstNode | undefined, fallback = 0): Span {
    const location = node?.location;
    const start = location?.startOffset;
    const end = location?.endOffset;
    if (start === undefined || !Number.isFinite(start)) return this.place(fallback, fallback);
    return this.place(start, end === undefined || !Number.isFinite(end) ? start : Math.max(start, end + 1));
  }

  spanOf(token: IToken): Span {
    const start = Number.isFinite(token.startOffset) ? token.startOffset : 0;
    return this.place(start, start + token.image.length);
  }

  /** A name; empty where recovery found none. */
  identifier(token: IToken | undefined, fallback: number): Identifier {
    return token === undefined ? { text: '', span: this.place(fallback, fallback) } : { text: token.image, span: this.spanOf(token) };
  }

  /** Records how deep `node` is; past the limit, one report in a file and a leaf in its place. */
  made(node: Expression, parts: readonly Expression[]): Expression {
    let height = 0;
    for (const part of parts) height = Math.max(height, this.heights.get(part) ?? 1);
    return this.record(node, height + 1);
  }

  /** As `made`, for a node around blocks, whose depth is the peak since they were begun. */
  record(node: Expression, height: number): Expression {
    if (height > maximumDepth) {
      if (!this.deep) this.report('SSL0009', node.span, { limit: maximumDepth, what: 'levels' });
      this.deep = true;
      return { kind: 'name', name: '', span: node.span };
    }
    this.heights.set(node, height);
    this.peak = Math.max(this.peak, height);
    return node;
  }

  /** Keeps a node's depth when only its span changes. */
  moved(from: Expression, to: Expression): Expression {
    this.heights.set(to, this.heights.get(from) ?? 1);
    return to;
  }
}
