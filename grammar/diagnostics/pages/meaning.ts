/** Pages of SSL3: what a program means. */
import type { PageText } from './page.js';

export const meaningPages: Readonly<Record<string, PageText>> = {
  SSL3001: {
    title: 'nothing prevents collapse',
    explanation: 'With every embedding equal to one constant vector the objective is as low as it can be, and no gradient leads away: training would end there. Something must raise the loss at that point (negatives, a regularizer of the batch, balanced assignments), or make the two sides unequal (a predictor against a stopped side), or compare with the input itself. The verdict is computed from the objective with the networks\' outputs replaced by constants, so it holds for any method.',
    wrong: 'use std.layers { linear }\n\nmodel m() {\n  input x: [D]\n  net f = linear(8)\n  let u = f(x), v = f(2 * x)\n  minimize agree: mean((u - v)^2)\n  represent f(x)\n}\n',
    right: 'use std.layers { linear }\nuse std.regularizers { variance, covariance }\nmodel m() {\n  input x: [D]\n  net f = linear(8)\n  let u = f(x), v = f(2 * x)\n  minimize agree: mean((u - v)^2)\n  regularize spread: variance(u)\n  regularize decorrelate: covariance(u)\n  represent f(x)\n}\n',
  },
  SSL3002: {
    title: 'something its role does not allow',
    explanation: 'Each noun promises something: an energy gives one number or one a pair, a view and a `fn` own no parameters, a backbone is deterministic when it embeds. The message says which promise is broken.',
    wrong: 'fn project(x: [D]) {\n  param w: [D] = 1\n  w * x\n}\n',
    right: 'layer project(x: [D]) {\n  param w: [D] = 1\n  w * x\n}\n',
  },
  SSL3003: {
    title: 'a model that minimizes nothing',
    explanation: 'Training lowers the sum of what a model minimizes and regularizes; this one names neither.',
    wrong: 'use std.layers { linear }\nmodel m {\n  input x: [D]\n  net f = linear(8)\n  represent f(x)\n}\n',
    right: 'use std.layers { linear }\nuse std.energies { nt_xent }\nmodel m {\n  input x: [D]\n  net f = linear(8)\n  minimize contrast: nt_xent(f(x), f(2 * x))\n  represent f(x)\n}\n',
  },
  SSL3004: {
    title: 'a model without a representation',
    explanation: '`represent` says what an example becomes: evaluation, `sslc embed` and the report use it.',
    wrong: 'use std.layers { linear }\nuse std.energies { nt_xent }\nmodel m {\n  input x: [D]\n  net f = linear(8)\n  minimize contrast: nt_xent(f(x), f(2 * x))\n}\n',
    right: 'use std.layers { linear }\nuse std.energies { nt_xent }\nmodel m {\n  input x: [D]\n  net f = linear(8)\n  minimize contrast: nt_xent(f(x), f(2 * x))\n  represent f(x)\n}\n',
  },
  SSL3020: {
    title: 'a layer that mixes examples under a virtual batch',
    explanation: 'Under a virtual batch, networks see a chunk of the batch at a time. A layer that looks at the other examples, such as batch norm, then sees those of the chunk: another network than the one that sees the whole batch. So it is asked for, not guessed.',
    wrong: 'use std.layers { linear, batch_norm }\nuse std.energies { nt_xent }\nuse std.optimizers { sgd }\nmodel m() {\n  input x: [D]\n  view a, b ~ noisy(x)\n  net f = linear(4) |> batch_norm\n  minimize contrast: nt_xent(f(a), f(b))\n  represent f(x)\n}\nview noisy(x: [D]) {\n  let e[d: D] ~ normal(0, 0.1)\n  x + e\n}\ntrain m {\n  batch 16\n  virtual_batch 64\n  optimizer sgd()\n}\n',
    right: 'use std.layers { linear, batch_norm }\nuse std.energies { nt_xent }\nuse std.optimizers { sgd }\nmodel m() {\n  input x: [D]\n  view a, b ~ noisy(x)\n  net f = linear(4) |> batch_norm\n  minimize contrast: nt_xent(f(a), f(b))\n  represent f(x)\n}\nview noisy(x: [D]) {\n  let e[d: D] ~ normal(0, 0.1)\n  x + e\n}\ntrain m {\n  batch 16\n  virtual_batch 64\n  batch_norm "chunk"\n  optimizer sgd()\n}\n',
  },
  SSL3021: {
    title: 'an objective that trains nothing',
    explanation: 'No gradient leads from what is minimized to a weight: it is a constant, looks at the input alone, or all that networks give stands in `stop` or comes from a target. A step would change nothing.',
    wrong: 'use std.layers { linear }\nuse std.energies { nt_xent }\nmodel m {\n  input x: [D]\n  net f = linear(8)\n  minimize contrast: nt_xent(stop(f(x)), stop(f(2 * x)))\n  represent f(x)\n}\n',
    right: 'use std.layers { linear }\nuse std.energies { nt_xent }\nmodel m {\n  input x: [D]\n  net f = linear(8)\n  minimize contrast: nt_xent(f(x), f(2 * x))\n  represent f(x)\n}\n',
  },
  SSL3022: {
    title: 'something of a model that is never used',
    explanation: 'A view, network, target, latent variable, table or memory was declared, and nothing in the model reads it. Most often another name was meant in an objective.',
    wrong: 'use std.layers { linear }\nuse std.energies { nt_xent }\nmodel m {\n  input x: [D]\n  net f = linear(8)\n  net g = linear(4)\n  minimize contrast: nt_xent(f(x), f(2 * x))\n  represent f(x)\n}\n',
    right: 'use std.layers { linear }\nuse std.energies { nt_xent }\nmodel m {\n  input x: [D]\n  net f = linear(8)\n  net g = linear(4)\n  minimize contrast: nt_xent(g(f(x)), g(f(2 * x)))\n  represent f(x)\n}\n',
  },
  SSL3023: {
    title: 'a lazy parameter that is not only read by rows',
    explanation: 'In a group with `lazy true` every row of a parameter is one of its own, and only rows that a step reads, as `table[word]` does, are updated. Where what is minimized reads all rows, each has a gradient in every step, and there is nothing to be lazy about. A number has no rows.',
    wrong: 'use std.optimizers { adagrad }\nmodel m() {\n  input word: int, context: int\n  param inside: [100, 8] ~ uniform(-0.5, 0.5)\n  param outside: [100, 8] = 0\n  let noise ~ int_uniform(100)\n  energy pair(w: int, c: int) = -sum[d](inside[w, d] * outside[c, d])\n  minimize attract: softplus(pair(word, context))\n  minimize repel: softplus(-pair(word, noise))\n  minimize small: 0.001 * mean(inside^2)\n  represent inside[word]\n}\ntrain m {\n  batch 16\n  optimizer adagrad()\n  group inside, outside { lazy true }\n}\n',
    right: 'use std.optimizers { adagrad }\nmodel m() {\n  input word: int, context: int\n  param inside: [100, 8] ~ uniform(-0.5, 0.5)\n  param outside: [100, 8] = 0\n  let noise ~ int_uniform(100)\n  energy pair(w: int, c: int) = -sum[d](inside[w, d] * outside[c, d])\n  minimize attract: softplus(pair(word, context))\n  minimize repel: softplus(-pair(word, noise))\n  minimize small: 0.001 * mean(inside[word]^2)\n  represent inside[word]\n}\ntrain m {\n  batch 16\n  optimizer adagrad()\n  group inside, outside { lazy true }\n}\n',
  },
  SSL3005: {
    title: 'embeddings may collapse onto few dimensions',
    explanation: 'The objective keeps embeddings apart, but is as content with embeddings on one line as with embeddings that use every direction. Training then tends to repeat one feature in every dimension.',
    wrong: 'use std.layers { linear }\nuse std.regularizers { variance }\nmodel m() {\n  input x: [D]\n  net f = linear(8)\n  let u = f(x), v = f(2 * x)\n  minimize agree: mean((u - v)^2)\n  regularize spread: variance(u)\n  represent f(x)\n}\n',
    right: 'use std.layers { linear }\nuse std.regularizers { variance, covariance }\nmodel m() {\n  input x: [D]\n  net f = linear(8)\n  let u = f(x), v = f(2 * x)\n  minimize agree: mean((u - v)^2)\n  regularize spread: variance(u)\n  regularize decorrelate: covariance(u)\n  represent f(x)\n}\n',
  },
  SSL3011: {
    title: 'a representation that needs an example number',
    explanation: '`id: example` numbers the training examples, and a `table` has a row for each. What is embedded after training, held-out examples for instance, has no number, so the representation must not depend on one.',
    wrong: 'use std.layers { linear }\nuse std.energies { nt_xent }\nmodel m {\n  input x: [D], id: example\n  net f = linear(8)\n  table bias: [examples, 8] = 0\n  minimize contrast: nt_xent(f(x), f(2 * x))\n  represent f(x) + bias[id]\n}\n',
    right: 'use std.layers { linear }\nuse std.energies { nt_xent }\nmodel m {\n  input x: [D], id: example\n  net f = linear(8)\n  table bias: [examples, 8] = 0\n  minimize contrast: nt_xent(f(x), f(2 * x) + bias[id])\n  represent f(x)\n}\n',
  },
  SSL3012: {
    title: 'an `ssl-allow` that does nothing',
    explanation: '`// ssl-allow CODE: reason`, at the end of the line a warning points at or alone on a line above it, silences that warning in every command. It needs the code of a warning and a reason, which the next reader will want to know. Errors are never silenced. `sslc check` also reports a comment that silences nothing, so that it does not outlive its cause.',
    wrong: 'use std.layers { linear }\nuse std.energies { nt_xent }\n// ssl-allow SSL3005\nmodel m {\n  input x: [D]\n  net f = linear(8)\n  minimize contrast: nt_xent(f(x), f(2 * x))\n  represent f(x)\n}\n',
    right: 'use std.layers { linear }\nuse std.regularizers { variance }\n// ssl-allow SSL3005: this one is about the variance alone\nmodel m {\n  input x: [D]\n  net f = linear(8)\n  let u = f(x), v = f(2 * x)\n  minimize agree: mean((u - v)^2)\n  regularize spread: variance(u)\n  represent f(x)\n}\n',
  },
  SSL3006: {
    title: 'fewer examples in a batch than dimensions',
    explanation: 'B embeddings lie in at most B - 1 directions around their mean. A term that wants every dimension to vary over the batch, and each differently from the others, cannot be met when there are more dimensions than that: what is left over repeats other dimensions within each batch, and only changes from batch to batch. Papers with very wide expanders train this way on purpose; a small model rarely gains from it.',
    wrong: 'use std.layers { linear }\nuse std.regularizers { variance, covariance }\nmodel m() {\n  input x: [D]\n  net f = linear(512)\n  let u = f(x), v = f(2 * x)\n  minimize agree: mean((u - v)^2)\n  regularize spread: variance(u) + covariance(u)\n  represent f(x)\n}\n',
    right: 'use std.layers { linear }\nuse std.regularizers { variance, covariance }\nmodel m() {\n  input x: [D]\n  net f = linear(64)\n  let u = f(x), v = f(2 * x)\n  minimize agree: mean((u - v)^2)\n  regularize spread: variance(u) + covariance(u)\n  represent f(x)\n}\n',
  },
};
