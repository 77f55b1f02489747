"""A file or a folder that is there whole or not at all."""

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
    part = part_of(target)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        yield part
        for path in (*part.rglob("*"), part):
            _sync(path)
        if target.exists():
            shutil.rmtree(target)
        part.replace(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A file to write, beside the target and so on its file system; takes the target's place when the block ends well.

    A kill or a loss of power leaves the old target or the new one; what is left of a killed writing is overwritten by the next.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(target)
    try:
        yield part
        _sync(part)
        os.replace(part, target)
        _sync(target.parent)
    finally:
        part.unlink(missing_ok=True)


def part_of(target: Path) -> Path:
    """Where a target is written before it is whole."""
    return target.with_name(f".{target.name}.part")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
