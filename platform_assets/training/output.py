"""A folder that is there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platform_assets.training.errors import TrainingError


def require_replaceable(target: Path, mark: str) -> None:
    """Raises TrainingError for a folder that holds something else than an earlier output, which has a file `mark`."""
    if target.exists() and not (target / mark).exists() and (not target.is_dir() or any(target.iterdir())):
        raise TrainingError(f"{target} holds something else than an earlier output: name a new folder")


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to write into, beside the target; takes the target's place when the block ends without an error.

    A kill leaves the old target, none, or the new one; what is left of a killed writing is removed by the next.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        yield part
        for file in part.rglob("*"):
            if file.is_file():
                _sync(file)
        if target.exists():
            shutil.rmtree(target)
        part.replace(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
