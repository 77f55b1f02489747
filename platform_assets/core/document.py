"""JSON documents of what programs write: one way to write them, and one to read the document that says which form a folder has.

What does not belong here: which documents a folder has, and what they say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """As people read it; what is no number in JSON is refused."""
    path.write_text(json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def read_versioned(
    path: Path, version: int, *, noun: str, program: str, error: type[Exception], again: str = "train it again",
    of_another_release: type[Exception] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What a document says whose `version` must be this one; raises `error`.

    `noun` is what the folder holds that the document lies in, `program` what writes such folders, `again` how to have it written.
    `of_another_release` is raised for another number, for those whom that does not stop; else `error` is.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise ValueError("it holds no JSON object")
    except (FileNotFoundError, NotADirectoryError):
        raise error(
            f"{path.parent} has no {path.name}: it is no {noun}, or not a whole one; name a folder that {program} wrote"
        ) from None
    except ValueError as reason:
        raise error(f"{path} cannot be read ({reason}): copy it again, or {again}") from None
    found = document.get("version")
    if found != version:
        is_number = isinstance(found, int) and not isinstance(found, bool)
        raise (of_another_release if is_number and of_another_release else error)(
            f"{path.parent} has version {found} of a {noun}, this code reads {version}: {again}"
        )
    return document
