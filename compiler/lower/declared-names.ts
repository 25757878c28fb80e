/** The names that a statement of a model declares. */
import type { Input, Statement } from '../../grammar/ast.js';

/** Axis names an input introduces. */
function axisNames(input: Input): string[] {
  if (input.type.kind !== 'tensorType') return [];
  return input.type.dimensions.flatMap((d) => (d.kind === 'dimension' && d.size.kind === 'name' ? [d.size.name] : []));
}

export function declaredNames(s: Statement): string[] {
  switch (s.kind) {
    case 'let': return s.bindings.flatMap((b) => b.names.map((n) => n.text));
    case 'draw': return s.draws.map((d) => d.name.text);
    case 'view': return s.names.map((n) => n.name.text);
    case 'repeat': return s.body.flatMap(declaredNames);
    case 'input': return s.inputs.flatMap((i) => [i.name.text, ...axisNames(i)]);
    case 'local': return [s.declaration.name.text];
    case 'define': case 'own': case 'net': case 'target': case 'latent': return [s.name.text];
    case 'update': case 'objective': case 'represent': case 'stage': return [];
  }
}
