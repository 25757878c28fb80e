/**
 * The statements of a model that a program needs: to represent an example, no view is drawn, no head applied and no code balanced.
 * Without them nothing is elaborated that would be dropped afterwards. A statement is kept when it is what is wanted, or when a kept
 * one after it may mention a name that it declares.
 */
import type { Statement } from '../../grammar/ast.js';
import { declaredNames } from './declared-names.js';

/**
 * What a model is elaborated for: the objectives of a step, its representation, that and what stages need (`discovery`), its views, its
 * stages or its plan.
 */
export type Wanted = 'objectives' | 'representation' | 'discovery' | 'views' | 'stages' | 'plan';

/** The statements needed, in their order: for a step all of them. */
export function neededPart(body: readonly Statement[], wanted: Wanted): readonly Statement[] {
  if (wanted === 'objectives') return body;
  const names = new Set<string>();
  const kept: Statement[] = [];
  for (const s of [...body].reverse()) {
    const part = isWanted(s, wanted) ? s : partOf(s, names);
    if (part === null) continue;
    namesIn(part, names);
    kept.push(part);
  }
  return kept.reverse();
}

function isWanted(s: Statement, wanted: Exclude<Wanted, 'objectives'>): boolean {
  switch (wanted) {
    case 'representation': return s.kind === 'represent';
    case 'discovery': return s.kind === 'represent' || s.kind === 'stage';
    case 'views': return s.kind === 'view';
    case 'stages': return s.kind === 'stage';
    case 'plan': return s.kind === 'local' && s.declaration.role === 'plan';
  }
}

/** What of a statement declares one of the names; null when nothing does. Inputs are kept, to be given in their order. */
function partOf(s: Statement, names: ReadonlySet<string>): Statement | null {
  switch (s.kind) {
    case 'input': return s;
    case 'let': {
      const bindings = s.bindings.filter((b) => b.names.some((n) => names.has(n.text)));
      return bindings.length === 0 ? null : { ...s, bindings };
    }
    default: return declaredNames(s).some((n) => names.has(n)) ? s : null;
  }
}

/** Every name that occurs in a piece of syntax, and some words that are none: too many are harmless. */
function namesIn(node: unknown, into: Set<string>): void {
  if (typeof node !== 'object' || node === null) return;
  for (const [key, value] of Object.entries(node)) {
    if (typeof value === 'string') { if (key === 'name' || key === 'text') into.add(value); } else namesIn(value, into);
  }
}
