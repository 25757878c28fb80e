/** SSL2: types and shapes. */
import { entry } from '../diagnostic.js';

export const typeCodes = {
  SSL2001: entry<{ expected: string; found: string }>({
    severity: 'error',
    title: (a) => `expected ${a.expected}, found ${a.found}`,
  }),
  SSL2002: entry<{ callee: string; expected: string; found: number }>({
    severity: 'error',
    title: (a) => `\`${a.callee}\` takes ${a.expected}, ${a.found} given`,
  }),
  SSL2003: entry<{ name: string; expected: string; found: string }>({
    severity: 'error',
    title: (a) => `expected \`${a.name}\` to be ${a.expected}, found ${a.found}`,
    help: () => 'an axis name means one size throughout a declaration',
  }),
  SSL2004: entry<{ left: string; right: string }>({
    severity: 'error',
    title: (a) => `shapes ${a.left} and ${a.right} do not fit together`,
    help: () => 'shapes are compared from the last axis; sizes must be equal',
  }),
  SSL2005: entry<{ index: string; help: string }>({
    severity: 'error',
    title: (a) => `the range of index \`${a.index}\` is not known`,
    help: (a) => a.help,
  }),
  SSL2006: entry<{ index: string; first: number; second: number }>({
    severity: 'error',
    title: (a) => `index \`${a.index}\` runs over axes of different sizes: ${a.first} and ${a.second}`,
  }),
  SSL2007: entry<{ low: number; high: number; size: number }>({
    severity: 'error',
    title: (a) => `this index reaches from ${a.low} to ${a.high}, the axis has 0 to ${a.size - 1}`,
    label: () => 'reads outside the tensor',
    help: () => 'say what lies outside, `x[...] else 0`, or change the index',
  }),
  SSL2008: entry<{ axis: string; axes: string }>({
    severity: 'error',
    title: (a) => `no axis is called \`${a.axis}\`; the axes are ${a.axes}`,
  }),
  SSL2009: entry<{ name: string; expected: string; found: string }>({
    severity: 'error',
    title: (a) => `expected setting \`${a.name}\` to be ${a.expected}, found ${a.found}`,
  }),
  SSL2010: entry<{ callee: string; name: string }>({
    severity: 'error',
    title: (a) => `\`${a.callee}\` needs a value for \`${a.name}\``,
  }),
};
