"""PyTorch as a peer: `python3 pytorch.py eager|compiled fp32|tf32|amp`, on CUDA where there is one, else on the processor."""
import contextlib
import math
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from serve import serve
from values import filled, hashed

MODE = sys.argv[1] if len(sys.argv) > 1 else "eager"
PRECISION = sys.argv[2] if len(sys.argv) > 2 else "fp32"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
torch.set_num_threads(os.cpu_count() or 1)
torch.backends.cuda.matmul.allow_tf32 = PRECISION == "tf32"
torch.backends.cudnn.allow_tf32 = PRECISION == "tf32"
if DEVICE == "cuda":
    torch.backends.cudnn.benchmark = True
    if PRECISION == "tf32":
        torch.set_float32_matmul_precision("high")


def mixed():
    """Mixed precision where it was asked for."""
    return torch.autocast(DEVICE, torch.float16 if DEVICE == "cuda" else torch.bfloat16) if PRECISION == "amp" else contextlib.nullcontext()


def sync():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def nt_xent(u, v, tau=0.5):
    z = F.normalize(torch.cat([u, v]).float(), dim=1)
    n = u.shape[0]
    s = z @ z.T / tau
    s = s.masked_fill(torch.eye(2 * n, dtype=torch.bool, device=s.device), float("-inf"))
    target = torch.cat([torch.arange(n, 2 * n), torch.arange(n)]).to(s.device)
    return F.cross_entropy(s, target)


class Weights(torch.nn.Module):
    """Parameters by path, in the layout PyTorch likes: products as [out, in], convolutions as [out, in, height, width]."""

    def __init__(self, specs):
        super().__init__()
        self.values = torch.nn.ParameterDict()
        for spec in specs:
            w = torch.from_numpy(filled(spec))
            name = spec["path"]
            if w.ndim == 4:
                w = w.permute(3, 2, 0, 1).contiguous()
                if DEVICE == "cuda":
                    w = w.to(memory_format=torch.channels_last)
            elif w.ndim == 2 and name.endswith(".w"):
                w = w.T.contiguous()
            self.values[name.replace(".", "/")] = torch.nn.Parameter(w.to(DEVICE))

    def __getitem__(self, name):
        return self.values[name.replace(".", "/")]

    def has(self, name):
        return name.replace(".", "/") in self.values


def mlp(p, x):
    x = F.relu(F.linear(x, p["f.linear1.w"], p["f.linear1.b"]))
    x = F.relu(F.linear(x, p["f.linear2.w"], p["f.linear2.b"]))
    return F.linear(x, p["f.linear3.w"], p["f.linear3.b"])


def cnn(p, x):
    for k in (1, 2, 3):
        x = F.relu(F.conv2d(x, p[f"f.conv{k}.w"], p[f"f.conv{k}.b"], stride=2, padding=1))
    return F.linear(x.mean((2, 3)), p["f.linear1.w"], p["f.linear1.b"])


def normed(p, path, x):
    return F.batch_norm(x, None, None, p[f"{path}.gain"], p[f"{path}.bias"], training=True)


def conv_block(p, path, x):
    return F.relu(normed(p, f"{path}.batch_norm1", F.conv2d(x, p[f"{path}.conv1.w"], padding=1)))


def basic_block(p, path, x, stride):
    y = F.relu(normed(p, f"{path}.batch_norm1", F.conv2d(x, p[f"{path}.conv1.w"], stride=stride, padding=1)))
    y = normed(p, f"{path}.batch_norm2", F.conv2d(y, p[f"{path}.conv2.w"], padding=1))
    if p.has(f"{path}.conv3.w"):
        x = normed(p, f"{path}.batch_norm3", F.conv2d(x, p[f"{path}.conv3.w"], stride=stride))
    return F.relu(x + y)


def resnet18(p, x):
    root = "f.basic_resnet1"
    x = conv_block(p, f"{root}.resnet_stem1.conv_block1", x)
    for stage in (1, 2, 3, 4):
        for block in (1, 2):
            x = basic_block(p, f"{root}.basic_stage{stage}.basic_block{block}", x, 2 if stage > 1 and block == 1 else 1)
    return x.mean((2, 3))


def attention(q, k, v, causal=False):
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    s = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
    if causal:
        s = s.masked_fill(torch.ones(s.shape[2:], dtype=torch.bool, device=s.device).triu(1), -1e9)
    return s.softmax(3) @ v


def vit_tiny(p, x, width=192, heads=3, depth=12):
    root = "f.vision_transformer1"
    n = x.shape[0]
    t = F.conv2d(x, p[f"{root}.embedding"], p[f"{root}.embedding_bias"], stride=4).flatten(2).transpose(1, 2)
    t = torch.cat([p[f"{root}.class_token"].expand(n, 1, width), t], 1) + p[f"{root}.places"]
    norm = lambda path, y: F.layer_norm(y, (width,), p[f"{path}.gain"], p[f"{path}.bias"], 1e-6)
    linear = lambda path, y: F.linear(y, p[f"{path}.w"], p[f"{path}.b"])
    for k in range(1, depth + 1):
        b = f"{root}.transformer_block{k}"
        y = linear(f"{b}.attention1.projection1", norm(f"{b}.layer_norm1", t))
        q, key, v = y.view(n, -1, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        y = attention(q, key, v)
        t = t + linear(f"{b}.attention1.projection2", y.transpose(1, 2).reshape(n, -1, width))
        y = norm(f"{b}.layer_norm2", t)
        t = t + linear(f"{b}.projection2", F.gelu(linear(f"{b}.projection1", y)))
    return norm(f"{root}.layer_norm1", t)[:, 0]


NETS = {"mlp": mlp, "cnn": cnn, "resnet18": resnet18, "vit_tiny": vit_tiny}


def given_input(spec, salt, batch=()):
    values = hashed(math.prod([*batch, *spec["shape"]]), salt, spec["scale"]).reshape([*batch, *spec["shape"]])
    return torch.from_numpy(values if spec["element"] == "f32" else np.floor(np.abs(values)).astype(np.int64)).to(DEVICE)


# The optimizer of each, and whether gradients are of the rows that were read.
TABLES = {"embedding": (torch.optim.Adagrad, 0.05, False), "embedding_lazy": (torch.optim.Adagrad, 0.05, True), "embedding_lazy_adam": (torch.optim.SparseAdam, 0.001, True)}


def prepare_tables(work, specs):
    if MODE == "compiled":
        return None
    started = time.perf_counter()
    optimizer_of, rate, sparse = TABLES[work["file"]]
    word, context, noise = [given_input(spec, 1 + k, [work["batch"]]) for k, spec in enumerate(work["inputs"].values())]
    inside, outside = [torch.nn.Embedding.from_pretrained(torch.from_numpy(filled(s)).to(DEVICE), freeze=False, sparse=sparse) for s in specs]
    optimizer = optimizer_of([inside.weight, outside.weight], lr=rate)

    def run():
        optimizer.zero_grad(set_to_none=True)
        w = inside(word)
        near, far = (w * outside(context)).sum(1), (w[:, None] * outside(noise)).sum(2)
        loss = F.softplus(-near).mean() + F.softplus(far).sum(1).mean()
        loss.backward()
        optimizer.step()
        return loss

    check = [float(run()), float(run())]
    return {"check": check, "compileMs": 1000 * (time.perf_counter() - started)}, lambda: (run(), sync())


def prepare_step(work, specs):
    if work["file"] in TABLES:
        return prepare_tables(work, specs)
    started = time.perf_counter()
    net = NETS.get(work["file"])
    if net is None:
        return None
    p = Weights(specs)
    shape = [work["batch"], *work["inputs"]["a"]["shape"]]
    data = [torch.from_numpy(hashed(math.prod(shape), salt).reshape(shape)) for salt in (1, 2)]
    if len(shape) == 4:
        data = [x.permute(0, 3, 1, 2) for x in data]
        data = [x.contiguous(memory_format=torch.channels_last) if DEVICE == "cuda" else x.contiguous() for x in data]
    a, b = [x.to(DEVICE) for x in data]
    fused = {"fused": True} if DEVICE == "cuda" else {}
    optimizer = torch.optim.Adam(p.parameters(), lr=1e-3, **fused)

    def forward():
        with mixed():
            return nt_xent(net(p, a), net(p, b))

    if MODE == "compiled":
        forward = torch.compile(forward)

    def run():
        optimizer.zero_grad(set_to_none=True)
        loss = forward()
        loss.backward()
        optimizer.step()
        return loss

    check = [float(run()), float(run())]
    return {"check": check, "compileMs": 1000 * (time.perf_counter() - started)}, lambda: (run(), sync())


def simclr_views(x):
    """The views of works/operations.ssl as torchvision has them, image by image: draws are its own, so results agree in distribution."""
    import torchvision.transforms as T

    height, width = x.shape[1:3]
    strong = T.Compose([
        T.RandomResizedCrop((height, width), scale=(0.08, 1.0)), T.RandomHorizontalFlip(), T.RandomApply([T.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
        T.RandomGrayscale(0.2), T.RandomApply([T.GaussianBlur(3, (0.1, 2.0))], p=0.5),
    ])
    images = x.permute(0, 3, 1, 2).to(torch.uint8)
    return lambda: [torch.stack([strong(image.float() / 255) for image in images])]


def prepare_operation(work, _):
    started = time.perf_counter()
    call = work["call"]
    given = {}
    for k, (name, spec) in enumerate(work["inputs"].items()):
        given[name] = given_input(spec, 1 + k)
    if work["gradients"]:
        for x in given.values():
            x.requires_grad_(x.is_floating_point())
    if call == "product":
        function = lambda: [given["a"] @ given["b"]]
    elif call == "shifted":
        function = lambda: [given["x"] + 1]
    elif call == "norm":
        function = lambda: [F.layer_norm(given["x"], given["x"].shape[-1:])]
    elif call == "contrast":
        function = lambda: [nt_xent(given["u"], given["v"])]
    elif call == "vocabulary":
        function = lambda: [F.cross_entropy(given["h"] @ given["w"].T, given["label"])]
    elif call in ("attention", "causal_attention"):
        function = lambda: [(attention(given["q"], given["k"], given["v"], call == "causal_attention") * given["pull"]).sum()]
    elif call == "adamw":
        w = torch.nn.Parameter(given["w"])
        w.grad = given["g"]
        optimizer = torch.optim.AdamW([w], lr=1e-3, weight_decay=0.01)
        function = lambda: [optimizer.step(), w][1:]
    elif call == "augmentation":
        if MODE == "compiled":
            return None
        function = simclr_views(given["x"])
    else:
        return None
    if MODE == "compiled" and call != "adamw":
        function = torch.compile(function)

    def run():
        for x in given.values():
            if call != "adamw":
                x.grad = None
        with mixed():
            out = function()
        if work["gradients"]:
            out[0].backward()
            out = out + [x.grad for x in given.values() if x.grad is not None]
        return out

    check = [float((x.double() ** 2).sum()) for x in run()]
    return {"check": check, "compileMs": 1000 * (time.perf_counter() - started)}, lambda: (run(), sync())


def prepare(work, specs):
    return (prepare_step if work["kind"] == "step" else prepare_operation)(work, specs)


where = torch.cuda.get_device_name() if DEVICE == "cuda" else f"{torch.get_num_threads()} threads"
name = f"PyTorch {torch.__version__} {MODE} {PRECISION} ({where})"
if DEVICE == "cuda":
    serve(name, prepare, torch.cuda.max_memory_allocated)
else:
    serve(name, prepare)
