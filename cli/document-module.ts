/** A module's declarations as Markdown: each with its head as written and its documentation. */
import type { Declaration, FunctionRole, Module } from '../grammar/ast.js';

const plural: Record<FunctionRole, string> = {
  fn: 'Functions', layer: 'Layers', backbone: 'Backbones', energy: 'Energies', regularizer: 'Regularizers',
  view: 'Views', optimizer: 'Optimizers', schedule: 'Schedules', data: 'Data', plan: 'Plans',
};

/** The documentation of one module. */
export function documentModule(name: string, module: Module, text: string): string {
  const parts = [`## ${name}\n`];
  const lead = leadingDocumentation(text);
  if (lead !== '') parts.push(`${lead}\n`);
  const groups = new Map<string, string[]>();
  for (const declaration of module.declarations) {
    const title = declaration.kind === 'function' ? plural[declaration.role] : declaration.kind === 'model' ? 'Models' : null;
    if (title === null) continue;
    const entries = groups.get(title) ?? [];
    entries.push(documentDeclaration(declaration, text));
    groups.set(title, entries);
  }
  const several = groups.size > 1;
  for (const [title, entries] of groups) {
    if (several) parts.push(`**${title}**\n`);
    parts.push(...entries);
  }
  return parts.join('\n');
}

function documentDeclaration(declaration: Declaration, text: string): string {
  const documentation = declaration.documentation.trim();
  return `\`\`\`ssl\n${head(declaration, text)}\n\`\`\`\n\n${documentation === '' ? '' : `${documentation}\n`}`;
}

/** The declaration up to its body, on one line. */
function head(declaration: Declaration, text: string): string {
  const { start, end } = declaration.span;
  const body = declaration.kind === 'function' ? declaration.body.span.start : bodyStart(text, start, end);
  const written = text.slice(start, body).replace(/^(\s*\/\/[^\n]*\n)+/, '');
  return written.replace(/[={]\s*$/, '').replace(/\s+/g, ' ').trim();
}

/** Where the braces of a model open: after its settings, outside brackets. */
function bodyStart(text: string, start: number, end: number): number {
  let depth = 0;
  for (let at = start; at < end; at++) {
    if ('(['.includes(text[at])) depth++;
    else if (')]'.includes(text[at])) depth--;
    else if (text[at] === '{' && depth === 0) return at;
  }
  return end;
}

/** The `///` lines that open a file, when an empty line or an import sets them off from the first declaration. */
function leadingDocumentation(text: string): string {
  const match = /^(?:\/\/\/[^\n]*\n)+/.exec(text);
  if (match === null) return '';
  const rest = text.slice(match[0].length);
  if (!/^\s*\n|^use\b/.test(rest)) return '';
  return match[0].replace(/^\/\/\/ ?/gm, '').trim();
}
