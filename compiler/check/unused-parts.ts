/** Views, networks, targets, latent variables, tables and memories of a model that nothing in it reads. */
import type { Identifier, Statement } from '../../grammar/ast.js';
import type { Diagnostic } from '../../grammar/diagnostics/diagnostic.js';
import { diagnostic } from '../../grammar/diagnostics/report.js';
import type { LoadedProgram } from '../api.js';
import { selectModel } from '../lower/training-spec.js';

export function unusedParts(loaded: LoadedProgram, name: string | null): Diagnostic[] {
  const { model } = selectModel(loaded, name);
  const read = new Set<string>();
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) return node.forEach(visit);
    if (typeof node !== 'object' || node === null) return;
    if ('kind' in node && node.kind === 'name' && 'name' in node && typeof node.name === 'string') read.add(node.name);
    // The energy that a latent variable makes least is a name, not an expression.
    if ('kind' in node && node.kind === 'latent' && 'energy' in node && typeof node.energy === 'object' && node.energy !== null && 'text' in node.energy && typeof node.energy.text === 'string') read.add(node.energy.text);
    Object.values(node).forEach(visit);
  };
  visit(model.body);
  return model.body.flatMap(partsOf).flatMap(({ name, role }) => (read.has(name.text) ? [] : [diagnostic('SSL3022', name.span, { name: name.text, role })]));
}

interface Part {
  readonly name: Identifier;
  readonly role: string;
}

function partsOf(s: Statement): Part[] {
  switch (s.kind) {
    case 'view': return s.names.map((n) => ({ name: n.name, role: 'view' }));
    case 'net': return [{ name: s.name, role: 'network' }];
    case 'target': return [{ name: s.name, role: 'target' }];
    case 'latent': return [{ name: s.name, role: 'latent variable' }];
    case 'own': return s.ownership === 'table' || s.ownership === 'memory' ? [{ name: s.name, role: s.ownership }] : [];
    default: return [];
  }
}
