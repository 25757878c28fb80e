/** SSL1: names, imports and settings. */
import { entry } from '../diagnostic.js';

const suggest = (s: string | null): string | null => (s === null ? null : `did you mean \`${s}\`?`);

export const nameCodes = {
  /** `known`: all that could stand there, where these are few. */
  SSL1001: entry<{ name: string; suggestion: string | null; known?: readonly string[] }>({
    severity: 'error',
    title: (a) => `nothing is called \`${a.name}\` here`,
    label: () => 'unknown name',
    help: (a) => suggest(a.suggestion) ?? (a.known === undefined ? 'declare it above, or import it with `use`' : `there are ${a.known.map((k) => `\`${k}\``).join(', ')}`),
  }),
  SSL1002: entry<{ path: string }>({
    severity: 'error',
    title: (a) => `there is no module \`${a.path}\``,
    label: () => 'imported here',
    help: () => 'library modules are written `std.vision`, files `"./losses.ssl"`, packages `"@scope/name"`',
  }),
  SSL1003: entry<{ name: string; module: string; suggestion: string | null }>({
    severity: 'error',
    title: (a) => `\`${a.module}\` has no \`${a.name}\``,
    help: (a) => suggest(a.suggestion),
  }),
  SSL1004: entry<{ cycle: readonly string[] }>({
    severity: 'error',
    title: (a) => `modules import each other: ${a.cycle.join(' -> ')}`,
    help: () => 'move what both need into a third file',
  }),
  SSL1005: entry<{ name: string }>({
    severity: 'error',
    title: (a) => `\`${a.name}\` is declared twice`,
    help: () => 'rename one of them',
  }),
  SSL1006: entry<{ callee: string; name: string; suggestion: string | null; known: readonly string[] }>({
    severity: 'error',
    title: (a) => `\`${a.callee}\` has no setting \`${a.name}\``,
    help: (a) => suggest(a.suggestion) ?? (a.known.length === 0 ? 'it has no settings' : `its settings are ${a.known.join(', ')}`),
  }),
  SSL1007: entry<{ name: string; suggestion: string | null; known: readonly string[] }>({
    severity: 'error',
    title: (a) => `\`--set ${a.name}\` matches nothing`,
    help: (a) => suggest(a.suggestion) ?? `what can be set: ${a.known.join(', ')}`,
  }),
  SSL1009: entry<{ callee: string; name: string; suggestion: string | null; known: readonly string[] }>({
    severity: 'error',
    title: (a) => `\`${a.callee}\` has no input \`${a.name}\``,
    help: (a) => (a.suggestion !== null ? `did you mean \`${a.suggestion}\`?` : `its inputs are ${a.known.join(', ')}`),
  }),
  SSL1020: entry<{ path: string; suggestion: string | null; known: readonly string[] }>({
    severity: 'error',
    title: (a) => `no parameter lies under \`${a.path}\``,
    label: () => 'this group would be empty',
    help: (a) => suggest(a.suggestion) ?? `a group names networks, parameters, layers inside (\`f.conv1\`), \`bias\` or \`norm\`; this model has ${a.known.join(', ') || 'no parameters'}`,
  }),
  SSL1021: entry<{ parameter: string }>({
    severity: 'error',
    title: (a) => `parameter \`${a.parameter}\` is in two groups`,
    label: () => 'and in this one',
    help: () => 'name smaller parts, so that every parameter is in one group at most',
  }),
  SSL1022: entry<{ group: string; known: readonly string[] }>({
    severity: 'error',
    title: (a) => `group \`${a.group}\` changes nothing`,
    help: (a) => `say what differs: ${a.known.join(', ')}`,
  }),
  SSL1008: entry<{ name: string; what: string; known: readonly string[] }>({
    severity: 'error',
    title: (a) => `${a.what} \`${a.name}\` is not in this file`,
    help: (a) => (a.known.length === 0 ? null : `there is ${a.known.join(', ')}`),
  }),
};
