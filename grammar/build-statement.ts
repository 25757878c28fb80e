/** Statements and blocks, from the concrete syntax tree. */
import type { CstNode } from 'chevrotain';
import type { Block, Expression, Input, LatentSearch, Statement, StageStep, TypeExpression } from './ast.js';
import { buildFunctionTail } from './build-tree.js';
import { buildBinders, buildExpression } from './build-expression.js';
import { buildType } from './build-type.js';
import { nodesOf, tokensOf, type Build } from './cst.js';
import type { Span } from './span.js';
import { objectiveWords } from './tokens.js';

/** A block; its last line, when an expression, is its result. */
export function buildBlock(build: Build, node: CstNode | undefined, at: number): Block {
  const span = build.span(node, at);
  const lines = nodesOf(node, 'statement');
  const statements: Statement[] = [];
  let result: Block['result'] = null;
  for (const [i, line] of lines.entries()) {
    const expression = nodesOf(line, 'expressionStatement')[0];
    if (expression !== undefined && tokensOf(expression, 'Assign').length === 0) {
      const left = nodesOf(expression, 'left')[0];
      if (left === undefined) continue;
      const value = buildExpression(build, left, span.end);
      if (i === lines.length - 1) result = value;
      else build.report('SSL0010', value.span, {});
    } else statements.push(...buildStatement(build, line, span.end));
  }
  return { kind: 'block', statements, result, span };
}

/** The lines of a model or of a `repeat`: a block whose last line is no result. */
export function buildStatements(build: Build, node: CstNode | undefined, at: number): readonly Statement[] {
  const block = buildBlock(build, node, at);
  if (block.result !== null && node?.recoveredNode !== true) build.report('SSL0010', block.result.span, {});
  return block.statements;
}

function buildStatement(build: Build, line: CstNode, at: number): readonly Statement[] {
  const node = Object.values(line.children).flat()[0];
  if (node === undefined || !('children' in node)) return [];
  const span = build.span(node, at);
  const name = build.identifier(tokensOf(node, 'Word')[0], span.end);
  const type = (): TypeExpression => buildType(build, nodesOf(node, 'type')[0], span.end);
  const value = () => buildExpression(build, nodesOf(node, 'expression')[0], span.end);
  switch (node.name) {
    case 'letStatement':
      return buildLet(build, node, span);
    case 'ownStatement': {
      const word = tokensOf(node, 'Owning')[0]?.image;
      const ownership = word === 'state' || word === 'memory' || word === 'table' ? word : 'param';
      const drawn = tokensOf(node, 'Draw').length > 0;
      return [{ kind: 'own', ownership, name, type: type(), init: { kind: drawn ? 'draw' : 'value', value: value() }, span }];
    }
    case 'updateStatement':
      return [{ kind: 'update', name, value: value(), span }];
    case 'repeatStatement':
      return [{ kind: 'repeat', count: value(), body: buildStatements(build, nodesOf(node, 'block')[0], span.end), span }];
    case 'inputStatement':
      return [{ kind: 'input', inputs: nodesOf(node, 'typedName').map((typed) => buildInput(build, typed, span.end)), span }];
    case 'viewStatement': {
      const tail = nodesOf(node, 'functionTail')[0];
      if (tail !== undefined) return [{ kind: 'local', declaration: buildFunctionTail(build, 'view', name, tail, span, ''), span }];
      const names = nodesOf(node, 'viewName').map((view) => {
        const count = nodesOf(view, 'expression')[0];
        return { name: build.identifier(tokensOf(view, 'Word')[0], build.span(view, span.end).end), count: count === undefined ? null : buildExpression(build, count, span.end) };
      });
      return [{ kind: 'view', names, value: value(), span }];
    }
    case 'netStatement':
      return [{ kind: tokensOf(node, 'Keyword_target').length > 0 ? 'target' : 'net', name, value: value(), span }];
    case 'latentStatement': {
      const search = buildSearch(build, node, span);
      const energy = build.identifier(tokensOf(node, 'energy')[0], span.end);
      return search === null ? [] : [{ kind: 'latent', name, type: type(), energy, search, span }];
    }
    case 'objectiveStatement': {
      const image = tokensOf(node, 'Objective')[0]?.image;
      const role = objectiveWords.find((w) => w === image) ?? 'minimize';
      return [{ kind: 'objective', role, name, value: value(), span }];
    }
    case 'representStatement':
      return [{ kind: 'represent', value: value(), span }];
    case 'stageStatement':
      return [{ kind: 'stage', name, period: tokensOf(node, 'Keyword_once').length > 0 ? null : value(), body: nodesOf(node, 'stageStep').flatMap((step) => buildStageStep(build, step, span.end)), span }];
    case 'localStatement': {
      const tail = nodesOf(node, 'functionTail')[0];
      const declaration = buildFunctionTail(build, tokensOf(node, 'Role')[0]?.image ?? 'fn', name, tail, span, '');
      return [{ kind: 'local', declaration, span }];
    }
    case 'expressionStatement':
      return buildDefinition(build, node, span);
    default:
      return [];
  }
}

/** The three ways to look for a latent variable; what fits none is reported. */
function buildSearch(build: Build, node: CstNode, span: Span): LatentSearch | null {
  const part = (label: string): Expression | null => {
    const found = nodesOf(node, label)[0];
    return found === undefined ? null : buildExpression(build, found, span.end);
  };
  const [within, from, steps, rate, by] = ['within', 'from', 'steps', 'rate', 'by'].map(part);
  if (within !== null && from === null && steps === null && by === null) return { kind: 'enumeration', range: within };
  if (within === null && from !== null && steps !== null && rate !== null && by === null) return { kind: 'descent', from, steps, rate };
  if (within === null && steps === null && by !== null) return { kind: 'function', from, by };
  if (node.recoveredNode !== true) {
    const help = 'write `latent z: [K] = argmin E from 0 steps 20 rate 0.1`, `latent k: int in 0..K = argmin E`, or `latent z: [K] = argmin E by cem()`';
    build.report('SSL0014', span, { problem: 'a latent variable needs one way to be found', help });
  }
  return null;
}

export function buildInput(build: Build, node: CstNode, at: number): Input {
  const span = build.span(node, at);
  return { kind: 'input', name: build.identifier(tokensOf(node, 'Word')[0], span.end), type: buildType(build, nodesOf(node, 'type')[0], span.end), span };
}

function buildStageStep(build: Build, node: CstNode, at: number): readonly StageStep[] {
  const span = build.span(node, at);
  const plain = nodesOf(node, 'letStatement')[0];
  if (plain !== undefined) return buildLet(build, plain, span).map((statement) => ({ kind: 'plain', statement, span: statement.span }));
  const name = build.identifier(tokensOf(node, 'Word')[0], span.end);
  if (tokensOf(node, 'Keyword_reset').length > 0) return [{ kind: 'reset', name, span }];
  return [{ kind: 'assign', name, value: buildExpression(build, nodesOf(node, 'expression')[0], span.end), span }];
}

/** `let` with `=` and with `~` are different statements; a line that mixes them becomes several, in order. */
function buildLet(build: Build, node: CstNode, whole: Span): readonly Statement[] {
  const statements: Statement[] = [];
  const bindings = nodesOf(node, 'binding');
  for (const binding of bindings) {
    const span = bindings.length === 1 ? whole : build.span(binding, whole.end);
    const words = tokensOf(binding, 'Word').map((word) => build.identifier(word, span.end));
    const value = buildExpression(build, nodesOf(binding, 'expression')[0], span.end);
    const brackets = nodesOf(binding, 'brackets')[0];
    const indices = brackets === undefined ? [] : buildBinders(build, brackets);
    const first = words[0] ?? build.identifier(undefined, span.end);
    const last = statements.at(-1);
    if (tokensOf(binding, 'Draw').length > 0) {
      if (words.length > 1) build.report('SSL0014', span, { problem: 'a draw names one value', help: 'write `let a ~ ..., b ~ ...`' });
      const draw = { name: first, indices, distribution: value };
      if (last?.kind === 'draw') statements[statements.length - 1] = { ...last, draws: [...last.draws, draw], span: whole };
      else statements.push({ kind: 'draw', draws: [draw], span });
    } else if (brackets !== undefined) {
      statements.push({ kind: 'define', name: first, indices, value, span });
    } else {
      const entry = { names: words.length === 0 ? [first] : words, value };
      if (last?.kind === 'let') statements[statements.length - 1] = { ...last, bindings: [...last.bindings, entry], span: whole };
      else statements.push({ kind: 'let', bindings: [entry], span });
    }
  }
  return statements;
}

/** `y[i, j] = ...`, where the left side was parsed as an expression. */
function buildDefinition(build: Build, node: CstNode, span: Span): readonly Statement[] {
  const left = nodesOf(node, 'left')[0];
  const value = buildExpression(build, nodesOf(node, 'value')[0], span.end);
  const operands = nodesOf(left, 'operand');
  const operand = operands[0];
  const postfixes = nodesOf(operand, 'postfix');
  const word = tokensOf(nodesOf(operand, 'primary')[0], 'Word')[0];
  const brackets = nodesOf(postfixes[0], 'brackets')[0];
  const single = operands.length === 1 && tokensOf(operand, 'prefix').length === 0 && word !== undefined;
  if (single && postfixes.length === 1 && brackets !== undefined) {
    const guard = nodesOf(brackets, 'where')[0];
    if (guard !== undefined) {
      build.report('SSL0014', build.span(guard, span.end), { problem: 'a definition has no `where`', help: 'write `y[i] = if condition { a } else { b }`' });
    }
    return [{ kind: 'define', name: build.identifier(word, span.start), indices: buildBinders(build, brackets), value, span }];
  }
  const help = single && postfixes.length === 0 ? `write \`let ${word.image} = ...\`` : 'write `let name = ...` for a value and `name[i, j] = ...` for a tensor by its elements';
  build.report('SSL0014', build.span(left, span.start), { problem: 'this cannot stand left of `=`', help });
  return [];
}
