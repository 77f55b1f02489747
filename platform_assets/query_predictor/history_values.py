"""From what queries of a user, catalog, schema and template cost to the 17 historical features: the one arithmetic.

Rows of training and tables of serving go through the same functions, element by element, in float64 and at the end float32:
equal sums give equal bits. A share is shrunk towards that of all queries, as if `strength` queries of it had been seen on top
(the posterior mean of a beta prior). What does not belong here: which queries count (`history`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from platform_assets.query_predictor.features import HISTORICAL_NAMES

if TYPE_CHECKING:
    import pyarrow as pa

# The sums are of whole millionths.
UNIT = 1_000_000
STRENGTH = 20.0
BLOCKS: dict[str, tuple[str, ...]] = {
    "user": ("queries", "heavy", "failed", "cpu_units", "memory_units", "largest_cpu"),
    "catalog": ("queries", "heavy", "cpu_units", "memory_units"),
    "schema": ("queries", "heavy", "cpu_units"),
    "template": ("queries", "heavy", "last_cpu"),
}
"""The sums that each kind of key has."""
COSTS = ("largest_cpu", "last_cpu")
"""Those that are CPU seconds and missing where nothing was seen; the others are whole numbers and then 0."""


def _together(kind: str) -> slice:
    columns = [place for place, name in enumerate(HISTORICAL_NAMES) if name.startswith(f"{kind}_")]
    assert columns == list(range(columns[0], columns[-1] + 1)), f"features of the {kind} do not stand together"
    return slice(columns[0], columns[-1] + 1)


PLACES: dict[str, slice] = {kind: _together(kind) for kind in BLOCKS}
"""The columns of each kind of key."""
IS_NEW_USER = HISTORICAL_NAMES.index("is_new_user")

Sums = Mapping[str, NDArray]


def missing(rows: int, kind: str) -> dict[str, NDArray]:
    """Sums of keys that were never seen."""
    return {name: np.full(rows, np.nan if name in COSTS else 0.0) for name in BLOCKS[kind]}


def block(kind: str, sums: Sums, prior: Sums, strength: float) -> NDArray[np.float32]:
    """Float32 [keys, features of the kind]. `prior`: queries, heavy and failed of all, one value or one for each key."""
    return _BLOCKS[kind](sums, prior, strength).astype(np.float32)


def all_values(sums: Mapping[str, Sums], prior: Sums, strength: float) -> NDArray[np.float32]:
    """Float32 [rows, 17] in the order of HISTORICAL_FEATURES, `sums` by kind of key."""
    values = np.empty((len(sums["user"]["queries"]), len(HISTORICAL_NAMES)), np.float32)
    for kind, columns in PLACES.items():
        values[:, columns] = block(kind, sums[kind], prior, strength)
    values[:, IS_NEW_USER] = is_new(sums["user"])
    return values


def from_table(table: pa.Table, strength: float) -> NDArray[np.float32]:
    """Float32 [rows, 17] of the sums that `history.write_asked` wrote; null, a key never seen, is 0 or missing."""

    def column(kind: str, name: str) -> NDArray[np.float64]:
        found = table[f"{kind}_{name}"].to_numpy().astype(np.float64)
        return found if name in COSTS else np.nan_to_num(found, nan=0.0)

    sums = {kind: {name: column(kind, name) for name in names} for kind, names in BLOCKS.items()}
    return all_values(sums, {name: column("all", name) for name in ("queries", "heavy", "failed")}, strength)


def is_new(users: Sums) -> NDArray[np.float32]:
    """1 where no query of the user had ended."""
    return (np.asarray(users["queries"]) == 0).astype(np.float32)


def _user(sums: Sums, prior: Sums, strength: float) -> NDArray[np.float64]:
    return _columns(
        np.log1p(_float(sums["queries"])), _share(sums, "heavy", prior, strength), _mean(sums, "cpu_units"),
        np.log1p(_float(sums["largest_cpu"])), _mean(sums, "memory_units"), _share(sums, "failed", prior, strength),
    )  # fmt: skip


def _catalog(sums: Sums, prior: Sums, strength: float) -> NDArray[np.float64]:
    return _columns(
        np.log1p(_float(sums["queries"])), _share(sums, "heavy", prior, strength), _mean(sums, "cpu_units"),
        _mean(sums, "memory_units"),
    )  # fmt: skip


def _schema(sums: Sums, prior: Sums, strength: float) -> NDArray[np.float64]:
    return _columns(np.log1p(_float(sums["queries"])), _share(sums, "heavy", prior, strength), _mean(sums, "cpu_units"))


def _template(sums: Sums, prior: Sums, strength: float) -> NDArray[np.float64]:
    return _columns(
        np.log1p(_float(sums["queries"])), _share(sums, "heavy", prior, strength), np.log1p(_float(sums["last_cpu"]))
    )


_BLOCKS = {"user": _user, "catalog": _catalog, "schema": _schema, "template": _template}


def _columns(*columns: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack(columns, axis=1)


def _float(values: NDArray) -> NDArray[np.float64]:
    # Contiguous, so that one row and a million take the same way through the library.
    return np.ascontiguousarray(values, np.float64)


def _share(sums: Sums, part: str, prior: Sums, strength: float) -> NDArray[np.float64]:
    """Missing where nothing at all had ended: then there is nothing to shrink to."""
    with np.errstate(invalid="ignore"):
        of_all = _float(prior[part]) / _float(prior["queries"])
    return (_float(sums[part]) + strength * of_all) / (_float(sums["queries"]) + strength)


def _mean(sums: Sums, units: str) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return _float(sums[units]) / _float(sums["queries"]) / UNIT
