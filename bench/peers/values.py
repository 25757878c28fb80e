"""The numbers of values.ts, for the peers written in Python."""
import math

import numpy as np


def hashed(size, salt, scale=1.0):
    """In -scale..scale, 31 bits of a multiplicative hash of the position."""
    x = (np.arange(size, dtype=np.uint64) * 2654435761 + salt * 40503) & 0xFFFFFFFF
    x = ((x ^ (x >> np.uint64(15))) * 2246822519) & 0xFFFFFFFF
    x = x ^ (x >> np.uint64(13))
    return (scale * (x.astype(np.float64) / 2**31 - 1)).astype(np.float32)


def filled(spec):
    """A parameter as it begins."""
    size = math.prod(spec["shape"])
    if spec["fill"] == "ones":
        values = np.ones(size, np.float32)
    elif spec["fill"] == "zeros":
        values = np.zeros(size, np.float32)
    else:
        values = hashed(size, spec["salt"], spec["scale"])
    return values.reshape(spec["shape"])
