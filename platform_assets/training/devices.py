"""Where a training computes and how precisely: what `auto` means here, and which device is whose.

Torch is imported when it is asked, not before: an asset that only reads options loads none of it.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, ClassVar, Protocol, TypeVar

AUTO, CPU, CUDA = "auto", "cpu", "cuda"
ACCELERATORS = (AUTO, CPU, CUDA)
PRECISIONS = (
    AUTO, "32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true", "transformer-engine",
    "transformer-engine-float16", "32", "bf16", "16", "64",
)  # fmt: skip
"""auto, and the names that Lightning knows: options are checked where it is not loaded."""


class OnDevices(Protocol):
    """The options of a training that say where it computes; a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def precision(self) -> str: ...
    @property
    def accelerator(self) -> str: ...
    @property
    def devices(self) -> int: ...


Options = TypeVar("Options", bound=OnDevices)


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


def resolved(options: Options) -> Options:
    """The options with what `auto` means here, and all processes of the training as `devices`.

    In bf16 another model comes out than in fp32, and with dropout another one on another device. Threads decide last bits
    only, and so does the device without dropout: a killed training keeps its threads (`training.work_folder`), and may then go
    on elsewhere where its precision is named.
    """
    local, nodes = by_node(options.devices)
    return replace(
        options, precision=precision(options.precision, options.accelerator), accelerator=kind(options.accelerator),
        devices=local * nodes,
    )  # fmt: skip


def require_known(options: OnDevices) -> None:
    """Raises ValueError for an accelerator or a precision that there is not."""
    for name, known in (("accelerator", ACCELERATORS), ("precision", PRECISIONS)):
        if getattr(options, name) not in known:
            raise ValueError(f"--{name} is one of {', '.join(known)}, not {getattr(options, name)}")


def require_resolved(options: OnDevices) -> None:
    """Raises ValueError for options whose fingerprint would be another on another machine."""
    if AUTO in (options.precision, options.accelerator):
        raise ValueError("auto is another model on another device: resolve the options first")


def pinned(options: OnDevices, dropout: float) -> dict[str, str]:
    """What of resolved options the machine decided and the fingerprint holds: for a program that may run on another."""
    names = ("precision", "accelerator") if dropout else ("precision",)
    return {name: getattr(options, name) for name in names}


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
