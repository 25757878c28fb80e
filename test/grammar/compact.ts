/** Syntax trees as short s-expressions, for golden files. */
import { assertNever } from '../../grammar/diagnostics/report.js';
import type { Argument, Binder, Block, Declaration, Expression, LatentSearch, Setting, Statement, TypeExpression, Use } from '../../grammar/ast.js';

const list = (parts: readonly string[]): string => parts.filter((part) => part !== '').join(' ');
const argument = (a: Argument): string => (a.name === null ? expression(a.value) : `(: ${a.name.text} ${expression(a.value)})`);

function binder(b: Binder): string {
  if (b.rest) return `*${b.name.text}`;
  if (b.extent !== null) return `(: ${b.name.text} ${expression(b.extent)})`;
  return b.source === null ? b.name.text : `(in ${b.name.text} ${expression(b.source)})`;
}

function block(b: { readonly statements: readonly Statement[]; readonly result: Expression | null }): string {
  return `{${[...b.statements.map(statement), ...(b.result === null ? [] : [expression(b.result)])].join('; ')}}`;
}

function expression(e: Expression): string {
  switch (e.kind) {
    case 'number':
      return `${e.text}${e.unit ?? ''}`;
    case 'string':
      return JSON.stringify(e.value);
    case 'boolean':
      return String(e.value);
    case 'name':
      return e.name;
    case 'member':
      return `(. ${expression(e.object)} ${e.name.text})`;
    case 'call':
      return `(${list([expression(e.callee), ...e.arguments.map(argument)])})`;
    case 'index': {
      const read = `(${list(['at', expression(e.object), ...e.indices.map(expression)])})`;
      return e.otherwise === null ? read : `(else ${read} ${expression(e.otherwise)})`;
    }
    case 'along':
      return `(${list(['along', e.name.text, `[${list(e.binders.map(binder))}]`, e.where === null ? '' : `where ${expression(e.where)}`, ...(e.arguments ?? []).map(argument)])})`;
    case 'unary':
      return `(${e.operator} ${expression(e.operand)})`;
    case 'binary':
      return `(${e.operator} ${expression(e.left)} ${expression(e.right)})`;
    case 'pipe':
      return `(|> ${expression(e.left)} ${expression(e.right)})`;
    case 'range':
      return `(.. ${expression(e.low)} ${expression(e.high)})`;
    case 'if':
      return `(${list(['if', expression(e.condition), block(e.then), e.otherwise === null ? '' : block(e.otherwise)])})`;
    case 'block':
      return block(e);
    case 'list':
      return `[${list(e.items.map(expression))}]`;
    case 'listComprehension':
      return `(${list(['for', expression(e.element), e.variable.text, expression(e.source), e.where === null ? '' : `where ${expression(e.where)}`])})`;
    case 'tuple':
      return `(${list(['tuple', ...e.items.map(expression)])})`;
    case 'over':
      return `(over ${expression(e.value)} ${expression(e.source)})`;
    default:
      return assertNever(e);
  }
}

function type(t: TypeExpression): string {
  switch (t.kind) {
    case 'tensorType':
      return `${t.element}[${list(t.dimensions.map((d) => (d.kind === 'rest' ? `*${d.name.text}` : expression(d.size))))}]`;
    case 'tupleType':
      return `(${list(t.items.map(type))})`;
    case 'namedType':
      return t.name;
    default:
      return assertNever(t);
  }
}

const named = (i: { readonly name: { readonly text: string }; readonly type: TypeExpression }): string => `${i.name.text}:${type(i.type)}`;
const setting = (s: Setting): string =>
  list([`${s.name.text}${s.type === null ? '' : `:${s.type.text}`}`, s.within === null ? '' : `in ${expression(s.within)}`, s.default === null ? '' : `= ${expression(s.default)}`]);

function statement(s: Statement): string {
  switch (s.kind) {
    case 'let':
      return `(let ${s.bindings.map((b) => `${b.names.map((n) => n.text).join(',')} = ${expression(b.value)}`).join(', ')})`;
    case 'draw':
      return `(draw ${s.draws.map((d) => `${d.name.text}[${list(d.indices.map(binder))}] ~ ${expression(d.distribution)}`).join(', ')})`;
    case 'define':
      return `(define ${s.name.text}[${list(s.indices.map(binder))}] ${expression(s.value)})`;
    case 'own':
      return `(${s.ownership} ${named(s)} ${s.init.kind === 'draw' ? '~' : '='} ${expression(s.init.value)})`;
    case 'input':
      return `(input ${list(s.inputs.map(named))})`;
    case 'view':
      return `(view ${list(s.names.map((n) => (n.count === null ? n.name.text : `${n.name.text}[${expression(n.count)}]`)))} ~ ${expression(s.value)})`;
    case 'repeat':
      return `(repeat ${expression(s.count)} ${list(s.body.map(statement))})`;
    case 'update':
    case 'net':
    case 'target':
      return `(${s.kind} ${s.name.text} ${expression(s.value)})`;
    case 'local':
      return `(local ${compact(s.declaration)})`;
    case 'latent':
      return `(latent ${named(s)} argmin ${s.energy.text} ${search(s.search)})`;
    case 'objective':
      return `(${s.role} ${s.name.text} ${expression(s.value)})`;
    case 'represent':
      return `(represent ${expression(s.value)})`;
    case 'stage':
      return `(stage ${s.name.text} ${s.period === null ? 'once' : `every ${expression(s.period)}`} ${list(s.body.map((step) => (step.kind === 'plain' ? statement(step.statement) : step.kind === 'reset' ? `(reset ${step.name.text})` : `(<- ${step.name.text} ${expression(step.value)})`)))})`;
    default:
      return assertNever(s);
  }
}

function search(s: LatentSearch): string {
  switch (s.kind) {
    case 'descent': return `from ${expression(s.from)} steps ${expression(s.steps)} rate ${expression(s.rate)}`;
    case 'enumeration': return `in ${expression(s.range)}`;
    case 'function': return `${s.from === null ? '' : `from ${expression(s.from)} `}by ${expression(s.by)}`;
    default: return assertNever(s);
  }
}

const lines = (parts: readonly string[]): string => parts.map((part) => `\n  ${part}`).join('');
const body = (b: Block): string => lines([...b.statements.map(statement), ...(b.result === null ? [] : [expression(b.result)])]);

/** A declaration, an import or an expression. */
export function compact(node: Declaration | Use | Expression): string {
  switch (node.kind) {
    case 'use':
      return `(use ${node.from.kind} ${node.from.path} ${list(node.names.map((n) => (n.as === null ? n.name.text : `${n.name.text}=${n.as.text}`)))})`;
    case 'function':
      return `(${node.role} ${node.name.text} (${node.settings.map(setting).join(', ')}) (${node.inputs.map(named).join(', ')}) -> ${node.result === null ? '_' : type(node.result)}${body(node.body)})`;
    case 'model':
      return `(model ${node.name.text} (${node.settings.map(setting).join(', ')})${lines(node.body.map(statement))})`;
    case 'train':
      return `(train ${list([node.model.text, ...node.arguments.map(argument)])}${lines(
        node.items.map((i) => {
          switch (i.kind) {
            case 'entry': return `(${i.key.text} ${expression(i.value)})`;
            case 'every': return `(every ${expression(i.period)} ${list(i.actions.map(expression))})`;
            case 'group': return `(group ${list(i.paths.map((p) => p.text))} ${list(i.entries.map((e) => `(${e.key.text} ${expression(e.value)})`))})`;
          }
        }),
      )})`;
    default:
      return expression(node);
  }
}
