"""tinygrad as a peer. `python3 tinygrad_peer.py cpu` answers requests on the processor (clang must be there); with `wgsl` it answers each
`prepare` with the WGSL kernels of a step, for tinygrad-webgpu.ts to run on Dawn: no device is needed to make them."""
import math
import os
import sys
import time

MODE = sys.argv[1] if len(sys.argv) > 1 else "cpu"
os.environ["DEV"] = "CPU" if MODE == "cpu" else "NULL:WGSL"
os.environ["TRAINING"] = "1"
if MODE == "wgsl":
    # One graph of all kernels would hide them; buffers that share memory would need bindings with offsets.
    os.environ["JIT"] = "2"
    os.environ["NO_MEMORY_PLANNER"] = "1"

import numpy as np
import tinygrad
from tinygrad import Tensor, TinyJit
from tinygrad.codegen import to_program
from tinygrad.nn.optim import Adam
from serve import serve
from values import filled, hashed


def dense(p, name, x):
    return x @ p[f"{name}.w"] + p[f"{name}.b"]


def mlp(p, x):
    return dense(p, "f.linear3", dense(p, "f.linear2", dense(p, "f.linear1", x).relu()).relu())


def cnn(p, x):
    for k in (1, 2, 3):
        x = x.conv2d(p[f"f.conv{k}.w"], p[f"f.conv{k}.b"], stride=2, padding=1).relu()
    return dense(p, "f.linear1", x.mean((2, 3)))


NETS = {"mlp": mlp, "cnn": cnn}


def nt_xent(u, v, tau=0.5):
    z = u.cat(v)
    z = z / z.square().sum(1, keepdim=True).sqrt()
    n = u.shape[0]
    s = z @ z.T / tau
    total = (s - 1e9 * Tensor.eye(2 * n)).logsumexp(1)
    return total.mean() - (z[:n] * z[n:]).sum(1).mean() / tau


def step_of(work, specs):
    """The step, compiled at its second call, and what it reads and writes that outlives it, by name."""
    net = NETS.get(work["file"])
    if net is None:
        return None
    # Convolutions as [out, in, height, width], as tinygrad has them.
    values = {s["path"]: filled(s).transpose(3, 2, 0, 1) if len(s["shape"]) == 4 else filled(s) for s in specs}
    p = {path: Tensor(np.ascontiguousarray(v)).contiguous().realize() for path, v in values.items()}
    for w in p.values():
        w.is_param_()
    shape = [work["batch"], *work["inputs"]["a"]["shape"]]
    data = [hashed(math.prod(shape), salt).reshape(shape) for salt in (1, 2)]
    if len(shape) == 4:
        data = [x.transpose(0, 3, 1, 2) for x in data]
    data = [np.ascontiguousarray(x) for x in data]
    a, b = [Tensor(x).contiguous().realize() for x in data]
    optimizer = Adam(list(p.values()), lr=1e-3)

    @TinyJit
    def step():
        optimizer.zero_grad()
        loss = nt_xent(net(p, a), net(p, b))
        loss.backward()
        return loss.realize(*optimizer.schedule_step())

    sources = {**{path: (p[path], v) for path, v in values.items()}, "a": (a, data[0]), "b": (b, data[1])}
    return step, sources, optimizer


def prepare_step(work, specs):
    started = time.perf_counter()
    made = step_of(work, specs)
    if made is None:
        return None
    step, _, _ = made
    # The second call is captured, the third is the first that replays.
    check = [step().item(), step().item()]
    step().item()
    return {"check": check, "launches": len(step.captured.linear.src), "compileMs": 1000 * (time.perf_counter() - started)}, lambda: step().item()


def kernels_of_step(work, specs):
    """The kernels of a step in their order, and the buffers they bind: sizes, names, and how those that outlive a step begin."""
    started = time.perf_counter()
    made = step_of(work, specs)
    if made is None:
        return None
    step, sources, optimizer = made
    step()
    loss = step()
    device = tinygrad.Device[tinygrad.Device.DEFAULT]
    begin = {id(t.uop.base.realized.base): {"name": name} for name, (t, _) in sources.items()}
    begin[id(optimizer.lr.uop.base.realized.base)] = {"value": 1e-3}
    for t in (optimizer.b1_t, optimizer.b2_t):
        begin[id(t.uop.base.realized.base)] = {"value": 1}
    for t in (*optimizer.m, *optimizer.v):
        begin[id(t.uop.base.realized.base)] = {"value": 0}
    buffers, places, kernels, written = [], {}, [], set()
    for call in step.captured.linear.src:
        arguments = [b for b in call.src[1:] if not b.is_bound_var]
        program = to_program(call.src[0], device.renderer)
        bound = []
        for k, argument in enumerate(arguments):
            buffer = argument.buffer
            if buffer.offset != 0:
                raise RuntimeError("a kernel binds a part of a buffer")
            key = id(buffer.base)
            if key not in places:
                places[key] = len(buffers)
                buffers.append({"bytes": buffer.base.nbytes, **begin.get(key, {})})
                if k not in program.arg.outs and key not in begin:
                    raise RuntimeError("a kernel reads what nothing has written")
            bound.append(places[key])
        kernels.append({"name": program.arg.function_name, "code": program.src[2].arg, "workgroups": [int(n) for n in program.arg.global_size], "buffers": bound})
    return {"kernels": kernels, "buffers": buffers, "loss": places[id(loss.uop.base.realized.base)], "compileMs": 1000 * (time.perf_counter() - started)}


def prepare_operation(work, _):
    if work["call"] not in ("product", "norm"):
        return None
    started = time.perf_counter()
    given = [Tensor(hashed(math.prod(s["shape"]), 1 + k, s["scale"]).reshape(s["shape"])).realize() for k, s in enumerate(work["inputs"].values())]
    function = (lambda a, b: (a @ b).realize()) if work["call"] == "product" else (lambda x: x.layernorm().realize())
    compiled = TinyJit(function)

    def run():
        result = compiled(*given)
        tinygrad.Device.default.synchronize()
        return result

    for _ in range(3):
        result = run()
    check = [float((result.numpy().astype(np.float64) ** 2).sum())]
    return {"check": check, "compileMs": 1000 * (time.perf_counter() - started)}, run


def prepare(work, specs):
    if MODE == "wgsl":
        made = kernels_of_step(work, specs) if work["kind"] == "step" else None
        return None if made is None else (made, None)
    return (prepare_step if work["kind"] == "step" else prepare_operation)(work, specs)


serve(f"tinygrad {getattr(tinygrad, '__version__', '')} ({MODE})".replace("  ", " "), prepare)
