"""Which modules a program consists of, read from its imports: for tests of what a code version covers."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from platform_assets import core

# Of the room of training, what names, shows, stores, checks, records or starts, but computes nothing of a model.
TRAINING_DECIDES_NOTHING = frozenset(
    {
        "command", "errors", "libraries", "memory", "options", "output", "plots", "program", "progress", "record", "settled",
        "threads",
    }
)  # fmt: skip
# Of core, one module writes a model's documents; the others find, read, name or draw what a training has, but compute nothing of it.
CORE_DECIDES_NOTHING = frozenset(path.stem for path in Path(core.__file__ or "").parent.glob("*.py")) - {"document"}


def deciding_sources(start: Path, apart: Mapping[str, Collection[str]]) -> set[Path]:
    """The modules that `start`, in a pipeline's room, imports directly or not; `apart` are the rooms, and who decides nothing."""
    package, left = start.parents[1], [start]
    found: set[Path] = set()
    while left:
        path = left.pop()
        if path not in found:
            found.add(path)
            left += [each for each in _imported(path, package, apart) if each.stem not in apart[each.parent.name]]
    return found


def _imported(path: Path, package: Path, rooms: Collection[str]) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in (node.module, *(f"{node.module}.{each.name}" for each in node.names)):
                file = package.parent.joinpath(*name.split(".")).with_suffix(".py")
                if file.is_file() and file.parent.name in rooms:
                    yield file
