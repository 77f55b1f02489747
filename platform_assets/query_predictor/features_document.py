"""The document that says of a folder of features what its columns are called and mean, and which week it is of.

Arrays say neither: numbers of another release are as many and as wide, and a week whose newest days had no query looks like the
week before it. What does not belong here: the arrays (`split_features`), how they are made (`feature_sets`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from platform_assets.core.document import read_versioned, write_json
from platform_assets.core.folders import remedy
from platform_assets.query_predictor.features import BASE_NAMES, DEFINITIONS_VERSION, HISTORICAL_NAMES

NAME = "features.json"
VERSION = 1
ASSET = "query_predictor/features"
NUMBERS = (*BASE_NAMES, *HISTORICAL_NAMES)
_SHOWN = 5


class FeaturesError(ValueError):
    """A features folder that is not whole, contradicts itself or has other columns; the message names the file and the remedy."""


def write(folder: Path, week: date) -> None:
    """Of the numbers as this release makes them; `week` is the week's Monday."""
    write_json(folder / NAME, {"version": VERSION, "week": week.isoformat(), **columns()})


def columns() -> dict[str, Any]:
    """What a document says of this release's features."""
    return {"numbers": list(NUMBERS), "definitions_version": DEFINITIONS_VERSION}


def are_this_releases(document: Mapping[str, Any]) -> bool:
    """Whether what a document says of features is what `columns` says. One that says nothing is of a release that had others."""
    return all(document.get(name) == value for name, value in columns().items())


def read(folder: Path) -> date:
    """The week's Monday. Raises FeaturesError, for columns that are not this release's too."""
    path, again = folder / NAME, f"materialise {ASSET} of its week again"
    if not path.exists():
        raise FeaturesError(f"{folder} has no {NAME}: it is of a release with other features, or not whole: {again}")
    document = read_versioned(path, VERSION, noun="week of features", program=ASSET, error=FeaturesError, again=again)
    try:
        week, numbers = date.fromisoformat(document["week"]), [str(name) for name in document["numbers"]]
        if week.weekday():
            raise ValueError(f"{week} is no Monday")
    except (KeyError, TypeError, ValueError) as error:
        raise FeaturesError(f"{path} cannot be read ({error!r}): {remedy(path, ASSET)}") from None
    if not are_this_releases(document):
        difference = _difference(numbers, document.get("definitions_version"))
        raise FeaturesError(f"{path} is of a release with other features ({difference}): {again}")
    return week


def _difference(numbers: Sequence[str], version: object) -> str:
    if numbers == list(NUMBERS):
        was = (
            "before their definitions had a version"
            if version is None
            else f"by version {version} of their definitions"
        )
        return f"of the same names, {was}; this is {DEFINITIONS_VERSION}"
    lacks = [name for name in NUMBERS if name not in numbers]
    has = [name for name in numbers if name not in NUMBERS]
    said = [f"{word} {_some(names)}" for word, names in (("without", lacks), ("with", has)) if names]
    return ", ".join(said) or "in another order, or twice"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
