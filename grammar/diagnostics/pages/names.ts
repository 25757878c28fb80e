/** Pages of SSL1: names, imports and settings. */
import type { PageText } from './page.js';

export const namePages: Readonly<Record<string, PageText>> = {
  SSL1001: {
    title: 'an unknown name',
    explanation: 'Nothing of this name is in scope: it is neither declared in the file, nor imported with `use`, nor a setting, input or value of this declaration.',
    wrong: 'fn double(x: []) = 2 * y\n',
    right: 'fn double(x: []) = 2 * x\n',
  },
  SSL1002: {
    title: 'an unknown module',
    explanation: 'The import names a module that is not there. Library modules are written `std.vision`, files relative to the importing one, packages by name.',
    wrong: 'use std.visoin { resnet18 }\n',
    right: 'use std.vision { resnet18 }\n',
  },
  SSL1003: {
    title: 'a module without this name',
    explanation: 'The module exists and does not declare what is imported from it.',
    wrong: 'use std.vision { resnet19 }\n',
    right: 'use std.vision { resnet18 }\n',
  },
  SSL1004: {
    title: 'modules that import each other',
    explanation: 'Imports must not go in a circle. Move what both files need into a third.',
    wrong: '// a.ssl\nuse "./b.ssl" { g }\nfn f(x: []) = 2 * x\n// b.ssl\nuse "./a.ssl" { f }\nfn g(x: []) = x + 1\n',
    right: '// a.ssl\nuse "./b.ssl" { g }\nuse "./shared.ssl" { f }\n// b.ssl\nuse "./shared.ssl" { f }\nfn g(x: []) = f(x) + 1\n// shared.ssl\nfn f(x: []) = 2 * x\n',
  },
  SSL1005: {
    title: 'a name declared twice',
    explanation: 'In one scope a name stands for one thing.',
    wrong: 'fn f(x: []) = x\nfn f(x: []) = 2 * x\n',
    right: 'fn f(x: []) = x\nfn double(x: []) = 2 * x\n',
  },
  SSL1006: {
    title: 'an unknown setting',
    explanation: 'An argument names a setting that the function does not have. Settings are never ignored silently.',
    wrong: 'fn scale(by: float = 2)(x: [D]) = by * x\nfn f(x: [D]) = scale(factor: 3)(x)\n',
    right: 'fn scale(by: float = 2)(x: [D]) = by * x\nfn f(x: [D]) = scale(by: 3)(x)\n',
  },
  SSL1007: {
    title: 'an override that matches nothing',
    explanation: '`--set name=value` must name a setting of the model or an entry of its `train` block.',
    wrong: '$ sslc check simclr.ssl --set temperature=0.2\n',
    right: '$ sslc check simclr.ssl --set tau=0.2\n',
  },
  SSL1009: {
    title: 'an input that is not declared',
    explanation: 'The file of inputs for `sslc call` holds a tensor that the function or model does not take. Tensors go by the names of the declaration: for `energy near(u: [D], v: [D])` they are `u` and `v`.',
    wrong: '$ sslc call near.ssl near --inputs u-and-w.safetensors\n',
    right: '$ sslc call near.ssl near --inputs u-and-v.safetensors\n',
  },
  SSL1020: {
    title: 'a group without parameters',
    explanation: 'A group in a `train` block names where parameters are: a network, a `param` of the model, a layer inside (`f.conv1`), or all of a kind (`bias`, `norm`). Nothing of the model lies there.',
    wrong: 'use std.layers { linear }\nuse std.optimizers { sgd }\nmodel m() {\n  input x: [D]\n  net f = linear(4)\n  net predict = linear(D)\n  minimize recover: mean((predict(f(x)) - x)^2)\n  represent f(x)\n}\ntrain m {\n  optimizer sgd()\n  group predictor { decay 0 }\n}\n',
    right: 'use std.layers { linear }\nuse std.optimizers { sgd }\nmodel m() {\n  input x: [D]\n  net f = linear(4)\n  net predict = linear(D)\n  minimize recover: mean((predict(f(x)) - x)^2)\n  represent f(x)\n}\ntrain m {\n  optimizer sgd()\n  group predict { decay 0 }\n}\n',
  },
  SSL1021: {
    title: 'a parameter in two groups',
    explanation: 'Groups may not overlap: what holds for a parameter would depend on their order.',
    wrong: 'use std.layers { linear }\nuse std.optimizers { sgd }\nmodel m() {\n  input x: [D]\n  net f = linear(4)\n  net predict = linear(D)\n  minimize recover: mean((predict(f(x)) - x)^2)\n  represent f(x)\n}\ntrain m {\n  optimizer sgd()\n  group predict { decay 0 }\n  group bias { rate 0.1 }\n}\n',
    right: 'use std.layers { linear }\nuse std.optimizers { sgd }\nmodel m() {\n  input x: [D]\n  net f = linear(4)\n  net predict = linear(D)\n  minimize recover: mean((predict(f(x)) - x)^2)\n  represent f(x)\n}\ntrain m {\n  optimizer sgd()\n  group predict { decay 0 }\n  group f.b { rate 0.1 }\n}\n',
  },
  SSL1022: {
    title: 'a group that changes nothing',
    explanation: 'A group says what the optimizer does otherwise with its parameters: a setting of the optimizer, `schedule`, `trainable` or `lazy`.',
    wrong: 'use std.layers { linear }\nuse std.optimizers { sgd }\nmodel m() {\n  input x: [D]\n  net f = linear(4)\n  net predict = linear(D)\n  minimize recover: mean((predict(f(x)) - x)^2)\n  represent f(x)\n}\ntrain m {\n  optimizer sgd()\n  group predict { }\n}\n',
    right: 'use std.layers { linear }\nuse std.optimizers { sgd }\nmodel m() {\n  input x: [D]\n  net f = linear(4)\n  net predict = linear(D)\n  minimize recover: mean((predict(f(x)) - x)^2)\n  represent f(x)\n}\ntrain m {\n  optimizer sgd()\n  group predict { rate 0.01 }\n}\n',
  },
  SSL1008: {
    title: 'a declaration that is not in the file',
    explanation: 'The command names a model or function that the file does not declare.',
    wrong: '$ sslc check simclr.ssl --model simlcr\n',
    right: '$ sslc check simclr.ssl --model simclr\n',
  },
};
