/**
 * Expressions: from the flat operator lists of the parser to the tree, by precedence.
 *
 *   loosest  over  |>  or  and  not  == != < <= > >=  ..  ++  + -  * / % @  unary -  ^  else  tightest
 *
 * All group to the left but `^` and `else`; comparisons do not chain.
 */
import type { CstNode, IToken, TokenType } from 'chevrotain';
import type { Argument, BinaryOperator, Binder, Block, Expression } from './ast.js';
import { buildBlock } from './build-statement.js';
import { nodesOf, tokensOf, type Build } from './cst.js';
import { unitOf } from './mark-tokens.js';
import { cover, type Span } from './span.js';
import * as t from './tokens.js';

interface Infix {
  readonly power: number;
  readonly operator: BinaryOperator | 'over' | '|>' | '..' | 'else';
  readonly right?: boolean;
}
const prefixMinus = 11;
const prefixNot = 5;
const comparison = 6;
const infixes = new Map<TokenType, Infix>([
  [t.Over, { power: 1, operator: 'over' }],
  [t.PipeTo, { power: 2, operator: '|>' }],
  [t.Or, { power: 3, operator: 'or' }],
  [t.And, { power: 4, operator: 'and' }],
  [t.Equal, { power: comparison, operator: '==' }],
  [t.NotEqual, { power: comparison, operator: '!=' }],
  [t.Less, { power: comparison, operator: '<' }],
  [t.LessEqual, { power: comparison, operator: '<=' }],
  [t.Greater, { power: comparison, operator: '>' }],
  [t.GreaterEqual, { power: comparison, operator: '>=' }],
  [t.RangeTo, { power: 7, operator: '..' }],
  [t.Join, { power: 8, operator: '++' }],
  [t.Plus, { power: 9, operator: '+' }],
  [t.Minus, { power: 9, operator: '-' }],
  [t.Star, { power: 10, operator: '*' }],
  [t.Slash, { power: 10, operator: '/' }],
  [t.Percent, { power: 10, operator: '%' }],
  [t.Product, { power: 10, operator: '@' }],
  [t.Power, { power: 12, operator: '^', right: true }],
  [t.Else, { power: 14, operator: 'else', right: true }],
]);
/** More operators in one expression than any person writes. */
const maximumOperators = 1000;

/** What stands where recovery found no expression. */
export function missing(build: Build, at: number): Expression {
  return { kind: 'name', name: '', span: build.place(at, at) };
}

export function buildExpression(build: Build, node: CstNode | undefined, at: number): Expression {
  if (node === undefined) return missing(build, at);
  const operands = nodesOf(node, 'operand');
  const symbols = tokensOf(node, 'Infix');
  const span = build.span(node, at);
  if (symbols.length > maximumOperators || operands.some((operand) => tokensOf(operand, 'prefix').length > 100)) {
    build.report('SSL0009', span, { limit: maximumOperators, what: 'operators' });
    return missing(build, span.start);
  }
  let position = 0;
  const symbol = (): Infix | undefined => infixes.get(symbols[position]?.tokenType ?? t.Comma);

  function prefixed(skip: number): Expression {
    const operand = operands[position];
    const prefix = tokensOf(operand, 'prefix')[skip];
    if (prefix === undefined) {
      const piped = symbols[position]?.tokenType === t.PipeTo || symbols[position - 1]?.tokenType === t.PipeTo;
      return buildOperand(build, operand, span.end, piped);
    }
    const inner = climb(prefix.tokenType === t.Not ? prefixNot : prefixMinus, skip + 1);
    return build.made({ kind: 'unary', operator: prefix.tokenType === t.Not ? 'not' : '-', operand: inner, span: cover(build.spanOf(prefix), inner.span) }, [inner]);
  }

  function climb(least: number, skip: number): Expression {
    let left = prefixed(skip);
    let compared = false;
    for (let infix = symbol(); infix !== undefined && infix.power >= least; infix = symbol()) {
      const token = symbols[position];
      position++;
      const right = climb(infix.right === true ? infix.power : infix.power + 1, 0);
      if (infix.power === comparison) {
        if (compared && token !== undefined) build.report('SSL0015', build.spanOf(token), { operator: token.image });
        compared = true;
      }
      left = joined(build, infix.operator, left, right, token);
    }
    return left;
  }
  return climb(0, 0);
}

function joined(build: Build, operator: Infix['operator'], left: Expression, right: Expression, token: IToken | undefined): Expression {
  const span = cover(left.span, right.span);
  switch (operator) {
    case '|>':
      return build.made({ kind: 'pipe', left, right, span }, [left, right]);
    case '..':
      return build.made({ kind: 'range', low: left, high: right, span }, [left, right]);
    case 'over':
      return build.made({ kind: 'over', value: left, source: right, span }, [left, right]);
    case 'else':
      if (left.kind === 'index' && left.otherwise === null) return build.made({ ...left, otherwise: right, span }, [left, right]);
      build.report('SSL0013', token === undefined ? span : build.spanOf(token), {});
      return left;
    default:
      return build.made({ kind: 'binary', operator, left, right, span }, [left, right]);
  }
}

function buildOperand(build: Build, node: CstNode | undefined, at: number, piped: boolean): Expression {
  if (node === undefined) return missing(build, at);
  const primary = nodesOf(node, 'primary')[0];
  const start = build.span(primary, at);
  let value = buildPrimary(build, primary, at);
  const postfixes = nodesOf(node, 'postfix');
  for (let i = 0; i < postfixes.length; i++) {
    const postfix = postfixes[i];
    if (postfix === undefined) continue;
    const span = cover(start, build.span(postfix, start.end));
    const call = nodesOf(postfix, 'callArguments')[0];
    const brackets = nodesOf(postfix, 'brackets')[0];
    if (call !== undefined) value = callOf(build, value, call, span);
    else if (brackets === undefined) {
      const name = build.identifier(tokensOf(postfix, 'Word')[0], span.end);
      value = build.made({ kind: 'member', object: value, name, span }, [value]);
    } else {
      const body = nodesOf(postfixes[i + 1], 'callArguments')[0];
      const plain = i === 0 && value.kind === 'name' && tokensOf(primary, 'Word').length > 0;
      const bindable = nodesOf(brackets, 'bracketItem').every((item) => canBind(item));
      const binding = isBinding(brackets);
      if (plain && value.kind === 'name' && bindable && (body !== undefined || (piped && postfixes.length === 1) || binding)) {
        const name = { text: value.name, span: value.span };
        const binders = buildBinders(build, brackets);
        const guard = nodesOf(brackets, 'where')[0];
        const where = guard === undefined ? null : buildExpression(build, guard, span.end);
        if (body === undefined && !piped) {
          build.report('SSL0014', span, { problem: `\`${name.text}[...]\` has no body`, help: `write the body right after the bracket, on the same line: \`${name.text}[i](x[i])\`` });
        }
        const args = body === undefined ? null : buildArguments(build, body);
        if (body !== undefined) i++;
        const whole = body === undefined ? span : cover(span, build.span(body, span.end));
        const parts = [...(args ?? []).map((a) => a.value), ...(where === null ? [] : [where]), ...binders.flatMap((b) => [b.extent, b.source].filter((e) => e !== null))];
        value = build.made({ kind: 'along', name, binders, where, arguments: args, span: whole }, parts);
      } else value = indexOf(build, value, brackets, span);
    }
  }
  return value;
}

function callOf(build: Build, callee: Expression, node: CstNode, span: Span): Expression {
  const args = buildArguments(build, node);
  return build.made({ kind: 'call', callee, arguments: args, span }, [callee, ...args.map((a) => a.value)]);
}

function indexOf(build: Build, object: Expression, brackets: CstNode, span: Span): Expression {
  const indices = nodesOf(brackets, 'bracketItem').map((item) => {
    const index = buildExpression(build, nodesOf(item, 'index')[0], build.span(item, span.end).start);
    if (tokensOf(item, 'Star').length > 0 || nodesOf(item, 'extent').length > 0) {
      build.report('SSL0014', build.span(item, span.end), { problem: 'an index is a single value here', help: 'ranges such as `k: 10` stand in a definition `y[k: 10] = ...` or a reduction `sum[k: 10](...)`' });
    }
    return index;
  });
  const guard = nodesOf(brackets, 'where')[0];
  if (guard !== undefined) {
    build.report('SSL0014', build.span(guard, span.end), { problem: 'only a reduction can have a `where`', help: 'write `sum[i where ...](...)`' });
  }
  return build.made({ kind: 'index', object, indices, otherwise: null, span }, [object, ...indices]);
}

/** The arguments of a call. */
export function buildArguments(build: Build, node: CstNode): readonly Argument[] {
  return nodesOf(node, 'argument').map((argument) => {
    const span = build.span(argument, build.span(node).end);
    const word = tokensOf(argument, 'Word')[0];
    const value = buildExpression(build, nodesOf(argument, 'expression')[0], span.end);
    return { name: word === undefined ? null : build.identifier(word, span.start), value, span };
  });
}

function soleWord(expression: CstNode | undefined): IToken | undefined {
  const operands = nodesOf(expression, 'operand');
  const operand = operands[0];
  if (operands.length !== 1 || tokensOf(operand, 'prefix').length > 0 || nodesOf(operand, 'postfix').length > 0) return undefined;
  return tokensOf(nodesOf(operand, 'primary')[0], 'Word')[0];
}

const canBind = (item: CstNode): boolean => tokensOf(item, 'Star').length > 0 || soleWord(nodesOf(item, 'index')[0]) !== undefined;
const isBinding = (brackets: CstNode): boolean =>
  nodesOf(brackets, 'where').length > 0 || nodesOf(brackets, 'bracketItem').some((item) => tokensOf(item, 'Star').length > 0 || nodesOf(item, 'extent').length > 0);

/** The binders between brackets; what is not a name is reported. */
export function buildBinders(build: Build, brackets: CstNode): readonly Binder[] {
  return nodesOf(brackets, 'bracketItem').flatMap((item): Binder[] => {
    const span = build.span(item, build.span(brackets).end);
    const rest = tokensOf(item, 'Star').length > 0;
    const word = rest ? tokensOf(item, 'Word')[0] : soleWord(nodesOf(item, 'index')[0]);
    if (word === undefined) {
      build.report('SSL0014', span, { problem: 'expected the name of an index here', help: 'indices are introduced by name: `y[i, j] = ...`, `sum[k: 10](...)`' });
      return [];
    }
    const given = nodesOf(item, 'extent')[0];
    const value = given === undefined ? null : buildExpression(build, given, span.end);
    const over = tokensOf(item, 'Keyword_in').length > 0;
    return [{ name: build.identifier(word, span.start), rest, extent: over ? null : value, source: over ? value : null, span }];
  });
}

function buildPrimary(build: Build, node: CstNode | undefined, at: number): Expression {
  const span = build.span(node, at);
  const number = tokensOf(node, 'Number')[0];
  if (number !== undefined) {
    const unit = tokensOf(node, 'Unit')[0];
    const text = number.image;
    const value = Number(text.replaceAll('_', ''));
    return { kind: 'number', value: Number.isFinite(value) ? value : 0, integer: /^[\d_]+$/.test(text), unit: unit === undefined ? null : unitOf(unit.image), text, span };
  }
  const string = tokensOf(node, 'String')[0];
  if (string !== undefined) return { kind: 'string', value: textOf(build, string), span };
  if (tokensOf(node, 'Keyword_true').length > 0) return { kind: 'boolean', value: true, span };
  if (tokensOf(node, 'Keyword_false').length > 0) return { kind: 'boolean', value: false, span };
  const word = tokensOf(node, 'Word')[0];
  if (word !== undefined) return { kind: 'name', name: word.image, span };
  const parenthesized = nodesOf(node, 'parenthesized')[0];
  if (parenthesized !== undefined) {
    const items = nodesOf(parenthesized, 'expression').map((item) => buildExpression(build, item, span.end));
    const only = items[0];
    if (items.length === 1 && only !== undefined) return build.moved(only, { ...only, span });
    return build.made({ kind: 'tuple', items, span }, items);
  }
  const list = nodesOf(node, 'list')[0];
  if (list !== undefined) return buildList(build, list, span);
  const conditional = nodesOf(node, 'ifExpression')[0];
  if (conditional !== undefined) return buildIf(build, conditional, span);
  const block = nodesOf(node, 'block')[0];
  if (block !== undefined) return deepened(build, () => ({ ...buildBlock(build, block, span.end), kind: 'block' as const }));
  return missing(build, span.start);
}

/** Builds a node around blocks, whose statements count as its parts. */
function deepened(build: Build, make: () => Expression): Expression {
  const before = build.peak;
  build.peak = 0;
  const node = make();
  const height = build.peak + 1;
  build.peak = Math.max(before, build.peak);
  return build.record(node, height);
}

function buildList(build: Build, node: CstNode, span: Span): Expression {
  const items = nodesOf(node, 'item').map((item) => buildExpression(build, item, span.end));
  const element = items[0];
  if (tokensOf(node, 'Keyword_for').length === 0 || element === undefined) return build.made({ kind: 'list', items, span }, items);
  const variable = build.identifier(tokensOf(node, 'Word')[0], span.end);
  const source = buildExpression(build, nodesOf(node, 'source')[0], span.end);
  const guard = nodesOf(node, 'where')[0];
  const where = guard === undefined ? null : buildExpression(build, guard, span.end);
  return build.made({ kind: 'listComprehension', element, variable, source, where, span }, where === null ? [element, source] : [element, source, where]);
}

function buildIf(build: Build, node: CstNode, span: Span): Expression {
  const conditions = nodesOf(node, 'expression');
  const blocks = nodesOf(node, 'block');
  const last = nodesOf(node, 'otherwise')[0];
  let otherwise: Block | null = null;
  let result: Expression | null = null;
  const before = build.peak;
  build.peak = 0;
  if (last !== undefined) otherwise = buildBlock(build, last, span.end);
  for (let i = conditions.length - 1; i >= 0; i--) {
    const test = conditions[i];
    const condition = buildExpression(build, test, span.end);
    const then = buildBlock(build, blocks[i], condition.span.end);
    const whole: Span = i === 0 ? span : build.place(condition.span.start, span.end);
    result = build.record({ kind: 'if', condition, then, otherwise, span: whole }, build.peak + 1);
    otherwise = { kind: 'block', statements: [], result, span: whole };
  }
  build.peak = Math.max(before, build.peak);
  return result ?? missing(build, span.start);
}

function textOf(build: Build, token: IToken): string {
  const closed = token.image.length > 1 && token.image.endsWith('"');
  const raw = token.image.slice(1, closed ? -1 : undefined);
  return raw.replace(/\\(.?)/g, (escape: string, character: string, offset: number) => {
    switch (character) {
      case '"':
      case '\\':
        return character;
      case 'n':
        return '\n';
      case 't':
        return '\t';
      default: {
        const start = token.startOffset + 1 + offset;
        if (closed) build.report('SSL0017', build.place(start, start + escape.length), { escape });
        return character;
      }
    }
  });
}
