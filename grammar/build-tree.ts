/** The module and its declarations, from the concrete syntax tree. Recovered parts become empty names, never holes. */
import type { CstNode } from 'chevrotain';
import type { Declaration, FunctionDeclaration, FunctionRole, GroupEntry, Identifier, Input, Module, Setting, TrainItem, Use } from './ast.js';
import { buildArguments, buildExpression } from './build-expression.js';
import { buildBlock, buildStatements } from './build-statement.js';
import { buildType } from './build-type.js';
import { Build, nodesOf, tokensOf } from './cst.js';
import type { Diagnostic } from './diagnostics/diagnostic.js';
import type { SourceFile, Span } from './span.js';
import { roleWords } from './tokens.js';

export function buildTree(node: CstNode | null, source: SourceFile): { readonly module: Module; readonly diagnostics: readonly Diagnostic[] } {
  const build = new Build(source);
  const uses: Use[] = [];
  const declarations: Declaration[] = [];
  for (const child of nodesOf(node ?? undefined, 'declaration')) {
    const use = nodesOf(child, 'use')[0];
    const model = nodesOf(child, 'model')[0];
    const train = nodesOf(child, 'train')[0];
    const declared = nodesOf(child, 'functionDeclaration')[0];
    if (use !== undefined) uses.push(buildUse(build, use));
    else if (model !== undefined) {
      const span = build.span(model);
      const settings = parametersOf(nodesOf(model, 'parameters')[0]).map((p) => buildSetting(build, p, span.end));
      const body = buildStatements(build, nodesOf(model, 'block')[0], span.end);
      declarations.push({ kind: 'model', name: build.identifier(tokensOf(model, 'Word')[0], span.end), settings, body, documentation: documentationOf(source, span.start), span });
    } else if (train !== undefined) {
      const span = build.span(train);
      const args = nodesOf(train, 'callArguments')[0];
      declarations.push({
        kind: 'train',
        model: build.identifier(tokensOf(train, 'Word')[0], span.end),
        arguments: args === undefined ? [] : buildArguments(build, args),
        items: nodesOf(train, 'trainItem').map((item) => buildTrainItem(build, item, span.end)),
        documentation: documentationOf(source, span.start),
        span,
      });
    } else if (declared !== undefined) {
      const span = build.span(declared);
      const name = build.identifier(tokensOf(declared, 'Word')[0], span.end);
      const role = tokensOf(declared, 'Role')[0]?.image ?? 'fn';
      if (role === 'plan') build.report('SSL0014', span, { problem: 'a plan belongs in a model', help: 'move it into the `model { ... }` whose networks it uses' });
      declarations.push(buildFunctionTail(build, role, name, nodesOf(declared, 'functionTail')[0], span, documentationOf(source, span.start)));
    }
  }
  const module: Module = { kind: 'module', uses, declarations, span: build.place(0, source.text.length) };
  return { module, diagnostics: build.diagnostics };
}

function buildUse(build: Build, node: CstNode): Use {
  const span = build.span(node);
  const file = tokensOf(node, 'String')[0];
  const words = tokensOf(node, 'Word');
  const names = nodesOf(node, 'useName').map((item) => {
    const alias = tokensOf(item, 'as')[0];
    return { name: build.identifier(tokensOf(item, 'name')[0], span.end), as: alias === undefined ? null : build.identifier(alias, span.end) };
  });
  if (file !== undefined) {
    const path = file.image.replace(/^"|"$/g, '');
    return { kind: 'use', from: { kind: 'file', path }, fromSpan: build.spanOf(file), names, span };
  }
  const first = words[0];
  const last = words.at(-1);
  const fromSpan = first === undefined || last === undefined ? build.place(span.end, span.end) : build.place(first.startOffset, last.startOffset + last.image.length);
  return { kind: 'use', from: { kind: 'library', path: words.map((word) => word.image).join('.') }, fromSpan, names, span };
}

const parametersOf = (node: CstNode | undefined): readonly CstNode[] => nodesOf(node, 'parameter');

const isRole = (word: string): word is FunctionRole => roleWords.some((role) => role === word);

/** Everything of a function after its name. Two lists are settings and inputs; one is inputs, but in `schedule` and `data`. */
export function buildFunctionTail(build: Build, word: string, name: Identifier, tail: CstNode | undefined, span: Span, documentation: string): FunctionDeclaration {
  const role = isRole(word) ? word : 'fn';
  const lists = nodesOf(tail, 'parameters');
  const settingsOnly = lists.length === 1 && (role === 'schedule' || role === 'data');
  const settings = lists.length > 1 || settingsOnly ? parametersOf(lists[0]).map((p) => buildSetting(build, p, span.end)) : [];
  const inputs = settingsOnly ? [] : parametersOf(lists.at(-1)).map((p) => buildParameterInput(build, p, span.end));
  const type = nodesOf(tail, 'type')[0];
  const result = type === undefined ? null : buildType(build, type, span.end);
  const block = nodesOf(tail, 'block')[0];
  const expression = nodesOf(tail, 'expression')[0];
  if (block === undefined && expression !== undefined) {
    const value = buildExpression(build, expression, span.end);
    return { kind: 'function', role, name, settings, inputs, result, body: { kind: 'block', statements: [], result: value, span: value.span }, documentation, span };
  }
  return { kind: 'function', role, name, settings, inputs, result, body: buildBlock(build, block, span.end), documentation, span };
}

function buildSetting(build: Build, node: CstNode, at: number): Setting {
  const span = build.span(node, at);
  const name = build.identifier(tokensOf(node, 'Word')[0], span.end);
  const typeNode = nodesOf(node, 'type')[0];
  const typeWord = nodesOf(typeNode, 'dimensions').length === 0 ? tokensOf(typeNode, 'Word')[0] : undefined;
  if (typeNode !== undefined && typeWord === undefined && typeNode.recoveredNode !== true) build.report('SSL0018', build.span(typeNode, span.end), { name: name.text });
  const within = nodesOf(node, 'within')[0];
  const standard = nodesOf(node, 'default')[0];
  return {
    kind: 'setting',
    name,
    type: typeWord === undefined ? null : build.identifier(typeWord, span.end),
    within: within === undefined ? null : buildExpression(build, within, span.end),
    default: standard === undefined ? null : buildExpression(build, standard, span.end),
    documentation: documentationOf(build.source, span.start),
    span,
  };
}

function buildParameterInput(build: Build, node: CstNode, at: number): Input {
  const span = build.span(node, at);
  const name = build.identifier(tokensOf(node, 'Word')[0], span.end);
  const type = nodesOf(node, 'type')[0];
  if (nodesOf(node, 'default').length > 0 || nodesOf(node, 'within').length > 0) build.report('SSL0012', span, { name: name.text, problem: 'default' });
  else if (type === undefined && node.recoveredNode !== true) build.report('SSL0012', span, { name: name.text, problem: 'untyped' });
  return { kind: 'input', name, type: buildType(build, type, span.end), span };
}

function buildTrainItem(build: Build, node: CstNode, at: number): TrainItem {
  const span = build.span(node, at);
  const group = nodesOf(node, 'parameterGroup')[0];
  if (group !== undefined) {
    const paths = nodesOf(group, 'parameterPath').map((path) => ({ text: tokensOf(path, 'Word').map((word) => word.image).join('.'), span: build.span(path, span.end) }));
    return { kind: 'group', paths, entries: nodesOf(group, 'entry').map((entry) => buildEntry(build, entry, span.end)), span };
  }
  if (tokensOf(node, 'Keyword_every').length > 0) {
    const period = buildExpression(build, nodesOf(node, 'expression')[0], span.end);
    return { kind: 'every', period, actions: nodesOf(node, 'action').map((action) => buildExpression(build, action, span.end)), span };
  }
  return { kind: 'entry', ...buildEntry(build, nodesOf(node, 'entry')[0] ?? node, span.end) };
}

function buildEntry(build: Build, node: CstNode, at: number): GroupEntry {
  const span = build.span(node, at);
  return { key: build.identifier(tokensOf(node, 'Word')[0], span.start), value: buildExpression(build, nodesOf(node, 'expression')[0], span.end), span };
}

/** The `///` lines right above the line that `start` begins, without slashes. */
function documentationOf(source: SourceFile, start: number): string {
  const lines: string[] = [];
  let lineStart = source.text.lastIndexOf('\n', start - 1) + 1;
  if (start === 0 || source.text.slice(lineStart, Math.min(start, lineStart + 200)).trim() !== '') return '';
  while (lineStart > 0) {
    const above = source.text.lastIndexOf('\n', lineStart - 2) + 1;
    const line = source.text.slice(above, lineStart - 1).trim();
    if (!line.startsWith('///')) break;
    lines.unshift(line.slice(3).replace(/^ /, ''));
    lineStart = above;
  }
  return lines.join('\n');
}
