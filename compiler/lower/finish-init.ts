/**
 * The updates of `init`: parameters, targets and states get their first values.
 */
import type { ProgramBuilder } from '../tensor/builder.js';
import type { TensorId } from '../tensor/scalar.js';
import type { DiscoveringStore } from './store.js';
import type { Layout } from './store.js';
import { initialTarget } from './targets.js';

const origin = (name: string): { span: null; name: string } => ({ span: null, name });

/** Stores what a discovering elaboration found into the sources that a run owns. */
export function finishInit(b: ProgramBuilder, store: DiscoveringStore, layout: Layout): void {
  const initial = (path: string): TensorId => store.parameters.get(path)?.initial ?? (0 as TensorId);
  if (layout.parameters.length > 0) {
    const flat = b.source('parameters', 'parameters', 'f32', [layout.size], origin('parameters'));
    b.update(flat, b.pack(layout.parameters.map((p) => initial(p.path)), origin('parameters'), layout.parameters.map((p) => p.offset)));
  }
  for (const p of layout.lazy) b.update(b.source(p.source, 'parameters', 'f32', p.shape, origin(p.path)), initial(p.path));
  for (const t of layout.targets) {
    const flat = b.source(`target.${t.info.name}`, 'state', 'f32', [t.size], origin(t.info.name));
    b.update(flat, initialTarget(b, t, initial));
  }
  for (const [name, s] of store.states) {
    b.update(b.source(name, 'state', s.info.element, s.info.shape, origin(name)), s.initial);
  }
}
