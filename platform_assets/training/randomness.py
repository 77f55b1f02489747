"""Every random number of a training, from names instead of a running state.

A generator that runs through the whole training would have to be saved with every checkpoint, once a rank, and could not be
resumed with another number of ranks. Derived seeds need neither: what is drawn for a step depends on the step alone.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np


def derive(*parts: int | str) -> int:
    """A seed of 63 bits from whatever names the occasion; the same on every machine and in every version of Python."""
    content = json.dumps(parts, separators=(",", ":")).encode()
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big") >> 1


def generator(*parts: int | str) -> np.random.Generator:
    """A generator of its own for the occasion."""
    return np.random.Generator(np.random.PCG64(derive(*parts)))


def seed_torch(*parts: int | str) -> None:
    """Start torch's generators, of the processor and of devices in use, anew for the occasion."""
    import torch

    # torch.manual_seed also remembers who called, for devices that nobody uses: half a millisecond a batch.
    torch.default_generator.manual_seed(derive(*parts))
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(derive(*parts))
