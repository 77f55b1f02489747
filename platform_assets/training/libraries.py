"""Which versions of libraries a training computes with."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version


def releases(libraries: Iterable[str]) -> dict[str, str]:
    """Library -> version, without the build (+cpu, +cu128): the step that asks may lie on a machine without the device."""
    return {name: _release(name) for name in libraries}


def _release(library: str) -> str:
    try:
        return version(library).partition("+")[0]
    except PackageNotFoundError:
        return ""
