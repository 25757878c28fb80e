/** Which names an expression mentions, minding what it binds itself: decides whether a bracket binds an index or names an axis. */
import type { Argument, Binder, Expression, LatentSearch, Statement } from '../../grammar/ast.js';

/** Calls `f` on every expression directly inside, with the names bound between. */
export function forEachChild(e: Expression, f: (child: Expression, binders: readonly Binder[]) => void): void {
  const plain = (x: Expression): void => f(x, []);
  const args = (list: readonly Argument[], binders: readonly Binder[]): void => list.forEach((a) => f(a.value, binders));
  switch (e.kind) {
    case 'number': case 'string': case 'boolean': case 'name': return;
    case 'member': return plain(e.object);
    case 'call': plain(e.callee); return args(e.arguments, []);
    case 'index': plain(e.object); e.indices.forEach(plain); if (e.otherwise !== null) plain(e.otherwise); return;
    case 'along':
      e.binders.forEach((b) => { if (b.extent !== null) plain(b.extent); if (b.source !== null) plain(b.source); });
      if (e.where !== null) f(e.where, e.binders);
      if (e.arguments !== null) args(e.arguments, e.binders);
      return;
    case 'unary': return plain(e.operand);
    case 'binary': case 'pipe': plain(e.left); return plain(e.right);
    case 'range': plain(e.low); return plain(e.high);
    case 'if':
      plain(e.condition);
      for (const block of [e.then, e.otherwise]) if (block !== null) { statementExpressions(block.statements).forEach(plain); if (block.result !== null) plain(block.result); }
      return;
    case 'block': statementExpressions(e.statements).forEach(plain); if (e.result !== null) plain(e.result); return;
    case 'list': case 'tuple': e.items.forEach(plain); return;
    case 'listComprehension': plain(e.source); plain(e.element); if (e.where !== null) plain(e.where); return;
    case 'over': plain(e.value); return plain(e.source);
  }
}

/** What the search for a latent variable is given. */
export function searchExpressions(s: LatentSearch): Expression[] {
  switch (s.kind) {
    case 'descent': return [s.from, s.steps, s.rate];
    case 'enumeration': return [s.range];
    case 'function': return s.from === null ? [s.by] : [s.from, s.by];
  }
}

/** The value expressions of statements that occur in function bodies. */
export function statementExpressions(statements: readonly Statement[]): Expression[] {
  return statements.flatMap((s): Expression[] => {
    switch (s.kind) {
      case 'let': return s.bindings.map((b) => b.value);
      case 'draw': return s.draws.map((d) => d.distribution);
      case 'define': case 'update': case 'net': case 'target': case 'view': case 'objective': case 'represent': return [s.value];
      case 'own': return [s.init.value];
      case 'repeat': return [s.count, ...statementExpressions(s.body)];
      case 'latent': return searchExpressions(s.search);
      case 'input': case 'local': case 'stage': return [];
    }
  });
}

/** Does `e` mention `name` freely (not rebound by a bracket inside)? */
export function mentions(e: Expression, name: string): boolean {
  if (e.kind === 'name') return e.name === name;
  let known = mentioned.get(e);
  if (known === undefined) {
    known = new Map();
    mentioned.set(e, known);
  }
  const before = known.get(name);
  if (before !== undefined) return before;
  const answer = mentionsInside(e, name);
  known.set(name, answer);
  return answer;
}

/** Expressions never change, and are asked for the same names at every call of the function they stand in. */
const mentioned = new WeakMap<Expression, Map<string, boolean>>();

function mentionsInside(e: Expression, name: string): boolean {
  let found = false;
  forEachChild(e, (child, binders) => {
    if (!found && !binders.some((b) => b.name.text === name && mentionsAsIndex(e, name)) && mentions(child, name)) found = true;
  });
  return found;
}

/** In `sum[b](...)`, `b` is bound only when the body uses it; `mean[H](x)` names an axis and binds nothing. */
function mentionsAsIndex(e: Expression, name: string): boolean {
  return e.kind === 'along' && (e.arguments ?? []).some((a) => mentions(a.value, name));
}
