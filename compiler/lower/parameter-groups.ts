/**
 * `group PATH, PATH { rate 0.1; trainable after(1 epochs) }` in a train block: which parameters it takes, and what the optimizer
 * does otherwise with them. Every parameter lies in one group at most; those in none follow the optimizer as it is written.
 */
import type { Identifier, TrainDeclaration, TrainItem } from '../../grammar/ast.js';
import { diagnostic, DiagnosticError } from '../../grammar/diagnostics/report.js';
import { suggest } from '../../grammar/diagnostics/suggest.js';
import type { ParameterInfo } from './context.js';
import type { Value } from './value.js';

export type GroupItem = Extract<TrainItem, { kind: 'group' }>;

/** A group with its entries evaluated. */
export interface ParameterGroup {
  readonly paths: readonly Identifier[];
  /** Settings of the optimizer that differ here; `rate` has its schedule and `trainable` multiplied in. */
  readonly settings: ReadonlyMap<string, Value>;
  /** A number or a scalar; while it is 0 the parameters stay as they are. Null when nothing is said. */
  readonly trainable: Value | null;
  /** Each row is a parameter of its own, which moves, states and all, in the steps that read it. */
  readonly lazy: boolean;
}

/** Entries of a group that are not settings of the optimizer. */
export const ownEntries = ['schedule', 'trainable', 'lazy'] as const;

export function groupsOf(train: TrainDeclaration | null): readonly GroupItem[] {
  return train?.items.filter((i) => i.kind === 'group') ?? [];
}

/** A group's name in reports, states and `--set`. */
export const groupName = (group: { readonly paths: readonly Identifier[] }): string => group.paths.map((p) => p.text).join('+');

/** Names after `group.` in `--set`: a path of a group and a setting of the optimizer. */
export function groupSettings(train: TrainDeclaration | null, optimizer: readonly string[]): string[] {
  return groupsOf(train).flatMap((g) => g.paths.flatMap((p) => [...optimizer, 'trainable'].map((s) => `group.${p.text}.${s}`)));
}

/** Entries that are neither a setting of the optimizer nor a group's own, groups without entries, and a group without an optimizer. */
export function checkGroups(train: TrainDeclaration | null, optimizer: readonly string[]): void {
  const known = [...optimizer, ...ownEntries];
  for (const group of groupsOf(train)) {
    if (group.entries.length === 0) throw new DiagnosticError([diagnostic('SSL1022', group.span, { group: groupName(group), known })]);
    for (const { key } of group.entries) {
      if (!known.includes(key.text)) throw new DiagnosticError([diagnostic('SSL1006', key.span, { callee: `group ${groupName(group)}`, name: key.text, suggestion: suggest(key.text, known), known })]);
    }
  }
}

/** `bias`: parameters called `b` or `bias`; `norm`: those of layers whose name ends in `norm`; null for other names. */
export function isOfKind(name: string, p: ParameterInfo): boolean | null {
  if (name === 'bias') return p.path.endsWith('.b') || p.path.endsWith('.bias') || p.path === 'b' || p.path === 'bias';
  if (name === 'norm') return p.layer.endsWith('norm');
  return null;
}

const takes = (path: string, p: ParameterInfo): boolean => isOfKind(path, p) ?? (p.path === path || p.path.startsWith(`${path}.`));

/** The group of each parameter, by path; errors for a path without parameters and for parameters in two groups. */
export function assignGroups(groups: readonly { readonly paths: readonly Identifier[] }[], parameters: readonly ParameterInfo[]): ReadonlyMap<string, number> {
  const assigned = new Map<string, { group: number; path: Identifier }>();
  groups.forEach((g, group) => {
    for (const path of g.paths) {
      const mine = parameters.filter((p) => takes(path.text, p));
      if (mine.length === 0) throw new DiagnosticError([diagnostic('SSL1020', path.span, { path: path.text, ...alternatives(path.text, parameters) })]);
      for (const p of mine) {
        const other = assigned.get(p.path);
        if (other !== undefined && other.group !== group) {
          throw new DiagnosticError([diagnostic('SSL1021', path.span, { parameter: p.path }, [{ span: other.path.span, message: 'it is in this group already' }])]);
        }
        assigned.set(p.path, { group, path });
      }
    }
  });
  return new Map([...assigned].map(([path, a]) => [path, a.group]));
}

function alternatives(wanted: string, parameters: readonly ParameterInfo[]): { suggestion: string | null; known: readonly string[] } {
  const all = new Set<string>();
  for (const p of parameters) {
    const parts = p.path.split('.');
    parts.forEach((_, k) => all.add(parts.slice(0, k + 1).join('.')));
  }
  return { suggestion: suggest(wanted, [...all]), known: [...new Set(parameters.map((p) => p.path.split('.')[0]))] };
}
