/** SSL3: what a program means: roles, draws, gradients, collapse. */
import { entry } from '../diagnostic.js';

export const meaningCodes = {
  SSL3001: entry<{ model: string; mend: string }>({
    severity: 'error',
    title: (a) => `nothing keeps \`${a.model}\` from collapsing`,
    label: () => 'every embedding equal is a minimum of its objective',
    help: (a) => a.mend,
  }),
  SSL3002: entry<{ role: string; problem: string; help: string }>({
    severity: 'error',
    title: (a) => `${a.role} ${a.problem}`,
    help: (a) => a.help,
  }),
  SSL3003: entry<{ model: string }>({
    severity: 'error',
    title: (a) => `model \`${a.model}\` has nothing to minimize`,
    help: () => 'add `minimize NAME: ...`',
  }),
  SSL3004: entry<{ model: string }>({
    severity: 'error',
    title: (a) => `model \`${a.model}\` does not say what represents an example`,
    help: () => 'add `represent f(x)`: evaluation and export use it',
  }),
  SSL3020: entry<{ network: string; chunk: number; batch: number }>({
    severity: 'error',
    title: (a) => `network \`${a.network}\` mixes the examples of a batch, and nothing says how under a virtual batch`,
    label: () => 'batch norm, or another layer that looks at the whole batch',
    help: (a) => `write \`batch_norm "chunk"\` in the train block (or give \`--batch-norm chunk\`): it sees ${a.chunk} examples at a time instead of ${a.batch}; or use a norm that sees one example`,
  }),
  SSL3021: entry<{ model: string }>({
    severity: 'error',
    title: (a) => `nothing that \`${a.model}\` minimizes depends on what is trained`,
    label: () => 'no gradient reaches a network or a `param`',
    help: () => 'minimize something of a network\'s output, such as `mse(predict(f(a)), stop(f(b)))`, and leave one side without `stop`',
  }),
  SSL3022: entry<{ name: string; role: string }>({
    severity: 'warning',
    title: (a) => `${a.role} \`${a.name}\` is never used`,
    label: () => 'declared here',
    help: () => 'use it in what the model minimizes, or take it out',
  }),
  SSL3023: entry<{ parameter: string; problem: 'whole' | 'scalar' }>({
    severity: 'error',
    title: (a) => (a.problem === 'whole' ? `\`${a.parameter}\` is updated lazily, and is not only read by rows` : `\`${a.parameter}\` is updated lazily, and has no rows`),
    label: (a) => (a.problem === 'whole' ? 'every row gets a gradient from here' : 'its parameters'),
    help: (a) => `read rows, as in \`${a.parameter.split('.').pop() ?? a.parameter}[word]\`, or leave out \`lazy true\``,
  }),
  SSL3005: entry<{ model: string }>({
    severity: 'warning',
    title: (a) => `nothing keeps the embeddings of \`${a.model}\` from collapsing onto few dimensions`,
    label: () => 'embeddings on one line cost no more than embeddings in all directions',
    help: () => 'add a term that decorrelates dimensions, such as `regularize decorrelate: covariance(u)`',
  }),
  SSL3011: entry<{ model: string }>({
    severity: 'error',
    title: (a) => `the representation of \`${a.model}\` needs the number of an example in the training set`,
    label: () => 'what is embedded later has no such number',
    help: () => 'read a `table` in what is minimized or in a stage, not in what is represented',
  }),
  SSL3012: entry<{ code: string; problem: 'reason' | 'unknown' | 'error' | 'unused' }>({
    severity: 'warning',
    title: (a) => {
      switch (a.problem) {
        case 'reason': return `allowing ${a.code} needs a reason`;
        case 'unknown': return a.code === '' ? '`ssl-allow` needs the code of a warning' : `no warning has the code \`${a.code}\``;
        case 'error': return `${a.code} is an error, which nothing silences`;
        case 'unused': return `nothing here gives ${a.code}`;
      }
    },
    help: (a) => (a.problem === 'unused' ? 'take the comment out' : 'write `// ssl-allow SSL3006: why this is meant`, on the line the warning points at or alone above it'),
  }),
  SSL3006: entry<{ model: string; batch: number; dimensions: number; terms: readonly string[] }>({
    severity: 'warning',
    title: (a) => `a batch of ${a.batch} examples cannot fill the ${a.dimensions} dimensions that ${a.terms.map((t) => `\`${t}\``).join(' and ')} ${a.terms.length === 1 ? 'asks' : 'ask'} for`,
    label: () => 'some dimensions must repeat others',
    help: (a) => `use a batch above ${a.dimensions}, fewer dimensions, or say why it is meant: \`// ssl-allow SSL3006: reason\``,
  }),
};
