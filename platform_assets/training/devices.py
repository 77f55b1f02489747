"""Where a training computes and how precisely: what `auto` means here, and which device is whose.

Torch is imported when it is asked, not before: an asset that only reads options loads none of it.
"""

from __future__ import annotations

import os

AUTO, CPU, CUDA = "auto", "cpu", "cuda"


def on_cuda(accelerator: str) -> bool:
    """Whether a training with this accelerator computes on CUDA; only auto asks the machine."""
    if accelerator != AUTO:
        return accelerator == CUDA
    import torch

    return torch.cuda.is_available()


def kind(accelerator: str) -> str:
    """cuda or cpu: the device that computes."""
    return CUDA if on_cuda(accelerator) else CPU


def precision(name: str, accelerator: str) -> str:
    """The precision as Lightning names it: auto is bf16-mixed on CUDA and 32-true elsewhere."""
    if name != AUTO:
        return name
    return "bf16-mixed" if on_cuda(accelerator) else "32-true"


def own_cuda_device() -> str:
    """The CUDA device of this process, one of several or alone: torchrun and Lightning number a node's processes alike."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"


def processes_here(devices: int) -> int:
    """How many processes of the training share this machine's cores: torchrun's number, else one a device."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", devices))


def by_node(devices: int) -> tuple[int, int]:
    """Devices a node, a process each, and nodes: torchrun's numbers, else so many on this machine."""
    local = os.environ.get("LOCAL_WORLD_SIZE")
    if local and "TORCHELASTIC_RUN_ID" in os.environ:
        return int(local), int(os.environ["WORLD_SIZE"]) // int(local)
    return devices, 1


def is_follower() -> bool:
    """Whether this is another process than a distributed training's first: such a one says, decides and writes nothing."""
    names = ("RANK", "LOCAL_RANK", "NODE_RANK")
    return any(os.environ.get(name, "0") != "0" for name in names)
