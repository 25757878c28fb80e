/** Types, from the concrete syntax tree. */
import type { CstNode } from 'chevrotain';
import type { Dimension, ElementName, TypeExpression } from './ast.js';
import { buildExpression } from './build-expression.js';
import { nodesOf, tokensOf, type Build } from './cst.js';
import { suggest } from './diagnostics/suggest.js';

const elements = new Map<string, ElementName>([['f32', 'f32'], ['float', 'f32'], ['int', 'int'], ['u8', 'u8'], ['bool', 'bool']]);

export function buildType(build: Build, node: CstNode | undefined, at: number): TypeExpression {
  const span = build.span(node, at);
  const word = tokensOf(node, 'Word')[0];
  const list = nodesOf(node, 'dimensions')[0];
  if (node === undefined || (word === undefined && list === undefined)) {
    const items = nodesOf(node, 'type');
    if (items.length === 0) return { kind: 'namedType', name: '', span };
    return { kind: 'tupleType', items: items.map((item) => buildType(build, item, span.end)), span };
  }
  const element = word === undefined ? 'f32' : elements.get(word.image);
  if (element === undefined && list === undefined) return { kind: 'namedType', name: word?.image ?? '', span };
  if (element === undefined && word !== undefined) {
    build.report('SSL0016', build.spanOf(word), { name: word.image, suggestion: suggest(word.image, elements.keys()) });
  }
  const dimensions = nodesOf(list, 'dimension').map((dimension): Dimension => {
    const place = build.span(dimension, span.end);
    if (tokensOf(dimension, 'Star').length > 0) return { kind: 'rest', name: build.identifier(tokensOf(dimension, 'Word')[0], place.end), span: place };
    return { kind: 'dimension', size: buildExpression(build, nodesOf(dimension, 'expression')[0], place.end), span: place };
  });
  return { kind: 'tensorType', element: element ?? 'f32', dimensions, span };
}
