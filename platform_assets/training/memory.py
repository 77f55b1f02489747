"""Memory that ran out, of a device or of the machine, as an error that names what to change.

What does not belong here: how much memory is enough; a kill by the kernel, of which the step that started the program tells.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from platform_assets.training.errors import OutOfMemory

# CUDA's and its libraries', torch's allocator on the processor, the operating system's.
_WORDS = (
    "out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "cublas_status_alloc_failed",
)  # fmt: skip


@contextmanager
def explained_memory(doing: str, remedy: str) -> Iterator[None]:
    """Raises OutOfMemory ("out of memory <doing>: <remedy>") for whatever means that memory ran out within the block."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OutOfMemory) or not _is_out_of_memory(error):
            raise
        raise OutOfMemory(f"out of memory {doing}: {remedy}") from error


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _WORDS)
