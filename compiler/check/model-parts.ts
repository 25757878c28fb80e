/** Parts of a model that a check lists: its tables, its latent variables and how they are inferred. */
import type { ModelDeclaration, Statement } from '../../grammar/ast.js';

/** `table fine: int[examples]`. */
export interface TablePart {
  readonly name: string;
  readonly element: 'int' | 'f32';
}

/** `latent z: [slots] = argmin misfit by ista(steps: rounds)`. */
export interface LatentPart {
  readonly name: string;
  readonly type: string;
  /** The energy it makes least. */
  readonly energy: string;
  readonly how: 'descent' | 'enumeration' | 'function';
  /** What was written after the energy's name or, for an enumeration, the range. */
  readonly text: string;
  /** The function of the model it belongs to, a plan for instance; null in the model itself. */
  readonly within: string | null;
}

export function tablesOf(model: ModelDeclaration): TablePart[] {
  return model.body.flatMap((s): TablePart[] => (s.kind !== 'own' || s.ownership !== 'table' ? []
    : [{ name: s.name.text, element: s.type.kind === 'tensorType' && s.type.element === 'int' ? 'int' : 'f32' }]));
}

/** `text` is the source in which the model stands. */
export function latentsOf(model: ModelDeclaration, text: string): LatentPart[] {
  const written = ({ span }: { readonly span: { readonly start: number; readonly end: number } }): string => text.slice(span.start, span.end).replace(/\s+/g, ' ');
  const from = (s: Statement, within: string | null): LatentPart[] => {
    if (s.kind === 'local') return s.declaration.body.statements.flatMap((x) => from(x, s.declaration.name.text));
    if (s.kind !== 'latent') return [];
    const { search } = s;
    const part = { name: s.name.text, type: written(s.type), energy: s.energy.text, how: search.kind, within };
    switch (search.kind) {
      case 'descent': return [{ ...part, text: `from ${written(search.from)} steps ${written(search.steps)} rate ${written(search.rate)}` }];
      case 'enumeration': return [{ ...part, text: written(search.range) }];
      case 'function': return [{ ...part, text: `${search.from === null ? '' : `from ${written(search.from)} `}by ${written(search.by)}` }];
    }
  };
  return model.body.flatMap((s) => from(s, null));
}
