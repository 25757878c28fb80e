/** Transcripts of commands that read and check programs, with their exit codes. */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { passes } from '../../compiler/pipeline.js';
import { codes } from '../../grammar/diagnostics/pages.js';
import { place, root, sslc, type Place } from './command.js';

const places: Place[] = [];
const project = (files: Readonly<Record<string, string>>): Place => {
  const made = place(files);
  places.push(made);
  return made;
};
afterAll(() => { for (const p of places) p.remove(); });

const tiny = `model tiny(width: int = 4, tau: float = 0.5) {
  input x: u8[H, W, C]
  view a, b ~ shift(x)
  param w: [width] ~ normal(0, 1)
  let u = mean(a) * w, v = mean(b) * w
  minimize near: mean((u - v)^2) / tau
  represent mean(x) * w
}
view shift(x: [H, W, C]) { let by ~ uniform(-0.1, 0.1); x + by }
`;

describe('fmt', () => {
  const untidy = 'fn   double( x:[] )=2  *  x   // twice\n';
  const tidy = 'fn double(x: []) = 2 * x  // twice\n';

  it('formats in place and is stable', async () => {
    const { folder, sslc: run } = project({ 'a.ssl': untidy, 'sub/b.ssl': tidy });
    expect(await run('fmt', '--check', '.')).toMatchObject({ code: 1, stdout: '', stderr: 'a.ssl: not formatted\n' });
    expect(await run('fmt', '.')).toMatchObject({ code: 0, stderr: 'a.ssl: formatted\n' });
    expect(readFileSync(join(folder, 'a.ssl'), 'utf8').replace(/ +\/\//, '  //')).toBe(tidy);
    expect(await run('fmt', '--check', '.')).toMatchObject({ code: 0, stderr: '' });
  });

  it('reads standard input', async () => {
    const { code, stdout } = await sslc(root, ['fmt', '-'], untidy);
    expect({ code, stdout: stdout.replace(/ +\/\//, '  //') }).toEqual({ code: 0, stdout: tidy });
  });

  it('leaves a file with errors alone', async () => {
    const { folder, sslc: run } = project({ 'a.ssl': 'fn f( = \n' });
    const { code, stderr } = await run('fmt', 'a.ssl');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error\[SSL0\d+\]/);
    expect(readFileSync(join(folder, 'a.ssl'), 'utf8')).toBe('fn f( = \n');
  });

  it('finds the library and the models formatted', async () => {
    expect(await sslc(root, ['fmt', '--check', 'models'])).toEqual({ code: 0, stdout: '', stderr: '' });
  });
});

describe('explain', () => {
  it('prints a page, whatever the case', async () => {
    const { code, stdout } = await sslc(root, ['explain', 'ssl1001']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^SSL1001: [\s\S]*Wrong:[\s\S]*Right:/);
  });
  it('lists all codes', async () => {
    const { stdout } = await sslc(root, ['explain']);
    for (const code of codes) expect(stdout).toMatch(new RegExp(`^${code}  \\S`, 'm'));
  });
  it('suggests a code', async () => {
    expect(await sslc(root, ['explain', 'SSL10O1'])).toMatchObject({ code: 2, stderr: expect.stringMatching(/no error has the code SSL10O1\n {2}= help: did you mean SSL1001\?/) });
  });
});

describe('check', () => {
  it('accepts a model and says what it is', async () => {
    const { sslc: run } = project({ 'tiny.ssl': tiny });
    const { code, stdout, stderr } = await run('check', 'tiny.ssl', '--input', 'x=u8[5,4,1]', '--set', 'width=6');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('tiny.ssl: ok');
    expect(stdout).toContain('parameters  6 in 1 tensors');
    const json = await run('check', '--json', 'tiny.ssl', '--input', 'x=u8[5,4,1]');
    expect(JSON.parse(json.stdout)).toMatchObject({ sslc: 1, command: 'check', exitCode: 0, diagnostics: [], result: { model: 'tiny', settings: { width: 4, tau: 0.5 } } });
  });

  it('lists stages, tables, latent variables and what batch norms see', async () => {
    const { sslc: run } = project({ 'parts.ssl': `use std.layers { linear, batch_norm }
use std.energies { mse }
use std.clustering { kmeans, cluster_of }
model parts(k: int = 3) {
  input x: [D], id: example
  net f = linear(4) |> batch_norm
  net decode = linear(4)
  net head = linear(k)
  table cluster: int[examples] = 0
  table unused: [examples, 2] = 0
  stage again every 2 epochs {
    cluster <- cluster_of(f(x) over data, kmeans(k)(f(x) over data))
    reset head
  }
  let u = f(x), v = f(2 * x)
  energy misfit(z: [2]) = mse(decode(concat(u, z)), v)
  latent z: [2] = argmin misfit from 0 steps 3 rate 0.1
  minimize predict: misfit(z)
  minimize tell: cross_entropy(head(u), cluster[id])
  represent u
}
train parts { batch 8 }
` });
    const { stdout } = await run('check', 'parts.ssl', '--input', 'x=f32[5]');
    const rows = stdout.split('\n').map((line) => line.trim().replace(/ +/g, ' '));
    for (const row of [
      'stage again: before the first step and every 2 epochs, 2 passes over the training set; leaves cluster [10000], head drawn anew',
      'table cluster: int[10000], left by stage again',
      'table unused: f32[10000, 2], as it begins: no stage writes it',
      'latent z: [2], descent of misfit, from 0 steps 3 rate 0.1; for each example, with no gradient through it',
      'batches batch_norm of f sees 8 examples of one view at a time',
    ]) expect(rows).toContain(row);
    const json = await run('check', '--json', 'parts.ssl', '--input', 'x=f32[5]');
    expect(JSON.parse(json.stdout)).toMatchObject({ result: {
      stages: [{ name: 'again', period: { count: 2, unit: 'epochs' }, passes: 2, writes: [{ name: 'cluster', shape: [10000] }], resets: ['head'] }],
      tables: [{ name: 'cluster', element: 'int', shape: [10000], leftBy: ['again'] }, { name: 'unused', element: 'f32', shape: [10000, 2], leftBy: [] }],
      latents: [{ name: 'z', type: '[2]', energy: 'misfit', how: 'descent', text: 'from 0 steps 3 rate 0.1', within: null }],
      batchPolicies: [{ network: 'f', layers: ['batch_norm'], together: 1 }],
    } });
  });

  /** What people get wrong in models of this kind: each message has a place, says what was expected and how to mend it. */
  it.each([
    ['nothing to minimize', 'let u = f(a)', 'SSL3003', 'model `m` has nothing to minimize', 'add `minimize NAME: ...`'],
    ['a constant', 'minimize c: 3.0', 'SSL3021', 'nothing that `m` minimizes depends on what is trained', 'minimize something of a network\'s output'],
    ['views compared without a network', 'minimize c: mse(a, b)', 'SSL3021', 'nothing that `m` minimizes depends on what is trained', 'minimize something of a network\'s output'],
    ['both sides stopped', 'minimize c: mse(stop(f(a)), stop(f(b)))', 'SSL3021', 'nothing that `m` minimizes depends on what is trained', 'leave one side without `stop`'],
    ['a view that is not used', 'minimize c: nt_xent()(f(a), f(2 * a))', 'SSL3022', 'view `b` is never used', 'use it in what the model minimizes, or take it out'],
    ['widths that differ between views', 'net g = linear(6)\n  minimize c: mse(f(a), g(b))', 'SSL2003', 'expected `D` to be 4, found 6', 'an axis name means one size'],
    ['a predictor of another width', 'net predict = linear(3)\n  minimize c: mse(predict(f(a)), stop(f(b)))', 'SSL2003', 'expected `D` to be 3, found 4', 'an axis name means one size'],
    ['a queue of another width', 'memory queue: [16, 8] ~ unit_normal()\n  minimize c: info_nce(0.2)(f(a), stop(f(b)), queue)', 'SSL2003', 'expected `D` to be 4, found 8', 'an axis name means one size'],
    ['an energy that is no scalar', 'energy e(z: [4]) = f(a) + z\n  latent z: [4] = argmin e from 0 steps 3 rate 0.1\n  minimize c: mse(f(b), z)', 'SSL3002', 'energy `e` returns f32[out=4], not a scalar', 'reduce it, for instance with `mean`'],
    ['a latent variable of no energy', 'latent z: [4] = argmin misfit from 0 steps 3 rate 0.1\n  minimize c: mse(f(b), z)', 'SSL1001', 'nothing is called `misfit` here', 'declare it above'],
    ['a stage that writes what is not there', 'stage s every 1 epochs { labels <- argmax[k](f(x)[k]) over data }\n  minimize c: mse(f(a), f(b))', 'SSL1001', 'nothing is called `labels` here', 'declare it above'],
    ['a stage that writes something of another shape', 'table t: int[examples] = 0\n  stage s every 1 epochs { t <- f(x) over data }\n  minimize c: mse(f(a), f(b))', 'SSL2003', 'expected `t` to be [10000], found [10000, 4]', ''],
    ['a stage with no period', 'table t: int[examples] = 0\n  stage s every 0 epochs { t <- argmax[k](f(x)[k]) over data }\n  minimize c: mse(f(a), f(b))', 'SSL2001', 'expected a period above 0, found 0 epochs', ''],
    ['a target of nothing', 'target t = ema(h, 0.99)\n  minimize c: mse(f(a), t(b))', 'SSL1001', 'nothing is called `h` here', 'declare it above'],
    ['a target that is not slow', 'target t = f\n  minimize c: mse(f(a), t(b))', 'SSL2001', 'expected `ema(net, momentum)`, found the network `f`', ''],
    ['one crop too few', 'view v[2] ~ noisy(x)\n  minimize c: nt_xent()(f(v[0]), f(v[2]))', 'SSL2007', 'this index reaches from 2 to 2, the axis has 0 to 1', 'change the index'],
    ['an update of nothing', 'minimize c: nt_xent()(f(a), f(b))\n  update queue <- f(a)', 'SSL1001', 'nothing is called `queue` here', 'declare it above'],
    ['a schedule of no group', 'minimize c: nt_xent()(f(a), f(b))', 'SSL1020', 'no parameter lies under `prototypes`', 'this model has f', 'train m { group prototypes { trainable 0 } }'],
  ])('points at %s', async (_, lines, code, title, help, train = '') => {
    const { sslc: run } = project({ 'm.ssl': `use std.layers { linear }
use std.energies { mse, nt_xent, info_nce }
view noisy(x: [D]) {
  let e[d: D] ~ normal(0, 0.1)
  x + e
}
model m() {
  input x: [D]
  view a, b ~ noisy(x)
  net f = linear(4)
  ${lines}
  represent f(x)
}
${train}
` });
    const { stderr } = await run('check', 'm.ssl', '--input', 'x=f32[5]');
    const [found] = stderr.split('\n\n').filter((text) => text.includes(`[${code}]`));
    expect(found).toContain(`[${code}]: ${title}`);
    expect(found).toMatch(/╭─ m\.ssl:\d+:\d+\n/);
    expect(found).toMatch(/│ +\^+/);
    if (help !== '') expect(found.replace(/\s+/g, ' ')).toContain(help);
  });

  it('assumes sizes when there is no data, and says so', async () => {
    const { sslc: run } = project({ 'tiny.ssl': tiny });
    const { code, stdout } = await run('check', 'tiny.ssl');
    expect(code).toBe(0);
    expect(stdout).toContain('x: u8[28, 28, 1]');
    expect(stdout).toContain('sizes were assumed');
  });

  it('finds type errors without a model, and in functions that the model does not call', async () => {
    const wrong = 'energy bad(u: [B, D], v: [B, K]) -> [] = mean((u - v)^2)\n';
    const { sslc: run } = project({ 'energy.ssl': wrong, 'tiny.ssl': `${tiny}${wrong}`, 'good.ssl': wrong.replace('K', 'D') });
    for (const file of ['energy.ssl', 'tiny.ssl']) expect(await run('check', file)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/error\[SSL2004\]: shapes \[B=6, D=5\] and \[B=6, K=7\]/) });
    expect(await run('check', 'good.ssl')).toMatchObject({ code: 0, stderr: '' });
  });

  it('points at an unknown name and suggests the known one', async () => {
    const { sslc: run } = project({ 'tiny.ssl': tiny.replace('~ shift(x)', '~ shfit(x)') });
    const { code, stdout, stderr } = await run('check', 'tiny.ssl');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('error[SSL1001]');
    expect(stderr).toContain('╭─ tiny.ssl:3:15');
    expect(stderr).toContain('help: did you mean `shift`?');
  });

  it('refuses an override that matches nothing', async () => {
    const { sslc: run } = project({ 'tiny.ssl': tiny });
    const { code, stderr } = await run('check', 'tiny.ssl', '--input', 'x=u8[5,4,1]', '--set', 'widht=6');
    expect(code).toBe(1);
    expect(stderr).toMatch(/error\[SSL1007\][\s\S]*did you mean `width`\?/);
  });

  it('names a cycle of imports', async () => {
    const { sslc: run } = project({ 'a.ssl': 'use "./b.ssl" { g }\nfn f(x: []) = g(x)\n', 'b.ssl': 'use "./a.ssl" { f }\nfn g(x: []) = f(x)\n' });
    expect(await run('check', 'a.ssl')).toMatchObject({ code: 1, stderr: expect.stringMatching(/error\[SSL1004\]: modules import each other: a\.ssl -> b\.ssl -> a\.ssl/) });
  });

  it('does not read outside the project, nor through a link', async () => {
    const outside = project({ 'secret.ssl': 'fn f(x: []) = x\n' });
    const inside = project({ 'a.ssl': `use "../${outside.folder.split('/').at(-1)}/secret.ssl" { f }\nfn g(x: []) = f(x)\n`, 'b.ssl': 'use "./link.ssl" { f }\nfn g(x: []) = f(x)\n' });
    symlinkSync(join(outside.folder, 'secret.ssl'), join(inside.folder, 'link.ssl'));
    for (const file of ['a.ssl', 'b.ssl']) expect(await inside.sslc('check', file)).toMatchObject({ code: 1, stderr: expect.stringMatching(/error\[SSL1050\][\s\S]*leaves the project/) });
  });

  it('finds packages in node_modules', async () => {
    const { folder, sslc: run } = project({ 'a.ssl': 'use "@scope/losses" { f }\nuse "plain" { g }\nfn h(x: []) = f(g(x))\n' });
    mkdirSync(join(folder, 'node_modules/@scope/losses/src'), { recursive: true });
    writeFileSync(join(folder, 'node_modules/@scope/losses/package.json'), '{"ssl": "src/main.ssl"}');
    writeFileSync(join(folder, 'node_modules/@scope/losses/src/main.ssl'), 'use "./twice.ssl" { f }\n');
    writeFileSync(join(folder, 'node_modules/@scope/losses/src/twice.ssl'), 'fn f(x: []) = 2 * x\n');
    expect(await run('check', 'a.ssl')).toMatchObject({ code: 1, stderr: expect.stringContaining('plain') });
    mkdirSync(join(folder, 'node_modules/plain'));
    writeFileSync(join(folder, 'node_modules/plain/package.json'), '{}');
    expect(await run('check', 'a.ssl')).toMatchObject({ code: 1, stderr: expect.stringMatching(/error\[SSL1051\]: package `plain` has no index\.ssl/) });
    writeFileSync(join(folder, 'node_modules/plain/index.ssl'), 'fn g(x: []) = x\n');
    expect(await run('check', 'a.ssl')).toMatchObject({ code: 0, stderr: '' });
    writeFileSync(join(folder, 'node_modules/plain/package.json'), '{"ssl": "../../a.ssl"}');
    expect(await run('check', 'a.ssl')).toMatchObject({ code: 1, stderr: expect.stringContaining('names an entry file outside itself') });
  });

  it('bears a line of a megabyte and deep nesting', async () => {
    const { sslc: run } = project({
      'long.ssl': `fn f(x: []) = x${' + x'.repeat(250_000)}\n`,
      'spaces.ssl': `fn f(x: []) =${' '.repeat(1_000_000)}y\n`,
      'deep.ssl': `fn f(x: []) = ${'('.repeat(20_000)}x${')'.repeat(20_000)}\n`,
    });
    for (const file of ['long.ssl', 'deep.ssl']) {
      const { code, stderr } = await run('check', file);
      expect([0, 1]).toContain(code);
      expect(stderr.length).toBeLessThan(2_000);
    }
    expect(await run('check', 'spaces.ssl')).toMatchObject({ code: 1, stderr: expect.stringMatching(/spaces\.ssl:1:1000014/) });
  });
});

describe('spec', () => {
  it('is self-contained, and the spec of a spec is itself', async () => {
    const { folder, sslc: run, write } = project({ 'models/tiny.ssl': `use "../losses.ssl" { near }\nuse std.layers { linear }\n${tiny.replace('mean((u - v)^2)', 'near(u, v)')}`, 'losses.ssl': 'energy near(u: [D], v: [D]) -> [] = mean((u - v)^2)\n' });
    const first = await run('spec', 'models/tiny.ssl', '--set', 'tau=0.25');
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(first.stdout)).toMatchObject({ main: 'models/tiny.ssl', set: { tau: '0.25' }, training: { settings: { tau: 0.25 } } });
    const elsewhere = project({ 'shared.json': first.stdout });
    expect((await elsewhere.sslc('spec', 'shared.json')).stdout).toBe(first.stdout);
    const input = ['--input', 'x=u8[5,4,1]'];
    const summary = (text: string): string => text.split('\n').slice(1).join('\n');
    expect(summary((await elsewhere.sslc('check', 'shared.json', ...input)).stdout)).toBe(summary((await run('check', 'models/tiny.ssl', '--set', 'tau=0.25', ...input)).stdout));
    write('x.json', first.stdout.replace('mean((u - v)^2)', 'mean((u + v)^2)'));
    expect(await sslc(folder, ['check', 'x.json'])).toMatchObject({ code: 3, stderr: expect.stringContaining('error[SSL5041]') });
  });

  it('shows what is wrong with a document', async () => {
    const { sslc: run } = project({ 'bad.json': '{\n  "format": "sslc-spec",\n  "verson": 1\n}\n' });
    const { code, stderr } = await run('check', 'bad.json');
    expect(code).toBe(3);
    expect(stderr).toContain('╭─ bad.json:3:');
    expect(stderr).toContain('did you mean `version`?');
  });
});

describe('doc', () => {
  it('prints a library module', async () => {
    const { code, stdout } = await sslc(root, ['doc', 'std.energies']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^## std\.energies/);
    expect(stdout).toContain('energy nt_xent(');
  });
  it('suggests a module', async () => {
    expect(await sslc(root, ['doc', 'std.energeis'])).toMatchObject({ code: 3, stderr: expect.stringContaining('did you mean std.energies?') });
  });
});

describe('compile', () => {
  it.each(['ast', 'types', 'tensor', 'kernels', 'wgsl', 'plan'])('emits %s, twice the same', async (emit) => {
    const { sslc: run } = project({ 'tiny.ssl': tiny });
    const argv = ['compile', 'tiny.ssl', '--input', 'x=u8[5,4,1]', '--emit', emit];
    const first = await run(...argv);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout.length).toBeGreaterThan(40);
    expect((await run(...argv)).stdout).toBe(first.stdout);
  });
  it('shows a program after a pass', async () => {
    const { sslc: run } = project({ 'tiny.ssl': tiny });
    for (const pass of ['lower', ...passes.map((p) => p.name)]) {
      const { code, stdout } = await run('compile', 'tiny.ssl', '--input', 'x=u8[5,4,1]', '--dump-after', pass, '--entry', 'embed');
      expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringMatching(/^program embed\n[^]*output embedding/) });
    }
    expect(await run('compile', 'tiny.ssl', '--dump-after', 'magic')).toMatchObject({ code: 2 });
  });
  it('reports what a step costs', async () => {
    const { sslc: run } = project({ 'tiny.ssl': tiny });
    const { stdout } = await run('compile', 'tiny.ssl', '--input', 'x=u8[5,4,1]', '--report', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ exitCode: 0, result: { version: 1, entries: expect.arrayContaining([expect.objectContaining({ name: 'step' })]) } });
  });
});

describe('runs that are not there', () => {
  it.each([[['evaluate', 'runs/x']], [['embed', 'runs/x', '-o', 'x.npy']], [['train', 'runs/x', '--resume', '--out', 'runs/x']]])('%j', async (argv) => {
    const { sslc: run } = project({});
    expect(await run(...argv)).toMatchObject({ code: 3, stdout: '' });
  });
});
