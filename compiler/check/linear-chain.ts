/** Where a scalar is linear in what it reads: sums, signs, scalings by what does not depend on examples. */
import type { Scalar, TensorId } from '../tensor/scalar.js';
import { visit } from '../tensor/scalar.js';

/** Does a scalar read a tensor for which `depends` holds? */
export function readsDependent(s: Scalar, depends: (id: TensorId) => boolean): boolean {
  let found = false;
  visit(s, (x) => { if (x.kind === 'read' && depends(x.tensor)) found = true; });
  return found;
}

/** The reads in which a scalar is linear; `depends` says which tensors are variables, all others count as constants. */
export function linearReads(root: Scalar, depends: (id: TensorId) => boolean): ReadonlySet<Scalar> {
  const linear = new Set<Scalar>();
  const walk = (s: Scalar): void => {
    if (s.kind === 'read') { if (!s.at.some((i) => readsDependent(i, depends))) linear.add(s); return; }
    if (s.kind === 'unary' && (s.op === 'neg' || s.op === 'stop')) { walk(s.x); return; }
    if (s.kind === 'select') {
      if (!readsDependent(s.condition, depends)) { walk(s.a); walk(s.b); }
      return;
    }
    if (s.kind !== 'binary') return;
    switch (s.op) {
      case 'add': case 'sub': walk(s.a); walk(s.b); break;
      case 'mul': if (!readsDependent(s.b, depends)) walk(s.a); else if (!readsDependent(s.a, depends)) walk(s.b); break;
      case 'div': if (!readsDependent(s.b, depends)) walk(s.a); break;
      default: break;
    }
  };
  walk(root);
  return linear;
}
