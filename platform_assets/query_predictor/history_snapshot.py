"""A snapshot of history as serving holds it: a few arrays, asked by user, catalog, schema and template.

Features are made once, when the tables are opened, by the arithmetic that training uses; an answer is a look-up. Templates,
which may be millions, are two sorted numbers each rather than texts. What does not belong here: how a snapshot is made
(`history`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.query_predictor import history, history_values
from platform_assets.query_predictor.features import HISTORICAL_FEATURE_COUNT
from platform_assets.query_predictor.history import HistoryOptions
from platform_assets.query_predictor.history_values import BLOCKS, IS_NEW_USER, PLACES, Sums

_FILES = {"user": "users", "catalog": "catalogs", "schema": "schemas", "template": "templates"}
_HALF = 16  # hexadecimal digits of 64 bits


class SnapshotError(ValueError):
    """A folder that holds no snapshot of this release; the message names the remedy."""


@dataclass(frozen=True)
class HistorySnapshot:
    """What was known at `as_of`, opened. Safe for threads: nothing in it changes."""

    day: date
    as_of: datetime
    options: HistoryOptions
    totals: Mapping[str, int]
    """Queries that counted, heavy and failed ones among them: where shares shrink to."""
    _names: Mapping[str, Mapping[Any, int]]
    _templates: tuple[NDArray[np.uint64], NDArray[np.uint64]]
    _values: Mapping[str, NDArray[np.float32]]
    """Features per key; the last row is that of keys never seen."""

    @classmethod
    def open(cls, folder: Path) -> HistorySnapshot:
        """Read what `history.write_snapshot` wrote. Raises SnapshotError."""
        try:
            content = history.read_report(folder)
            options, totals = HistoryOptions.from_mapping(content), content["all"]
            day, as_of = date.fromisoformat(content["day"]), datetime.fromisoformat(content["as_of"])
            tables = {kind: _read(folder / f"{name}.parquet") for kind, name in _FILES.items()}
            names = {kind: {name: row for row, name in enumerate(tables[kind]["name"])} for kind in ("user", "catalog")}
            both = zip(tables["schema"]["name"], tables["schema"]["inner_name"], strict=True)
            names["schema"] = {pair: row for row, pair in enumerate(both)}
            templates = _halves("".join(tables["template"]["name"]), len(tables["template"]["name"]))
            prior = {name: np.array([count]) for name, count in totals.items()}
            values = {kind: _with_unseen(kind, tables[kind], prior, options.strength) for kind in BLOCKS}
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise SnapshotError(
                f"{folder} holds no snapshot of history ({error!r}): take the folder history/ of a model or of the lake's "
                "query_predictor/features"
            ) from None
        return cls(day, as_of, options, totals, names, templates, values)

    def features(self, user: str, catalog: str | None, schema: str | None, template: str) -> NDArray[np.float32]:
        """Float32 [17] in the order of HISTORICAL_FEATURES. Raises ValueError for a template that is no fingerprint."""
        rows = {
            "user": self._names["user"].get(user, -1),
            "catalog": self._names["catalog"].get(catalog or "", -1),
            "schema": self._names["schema"].get((catalog or "", schema or ""), -1),
            "template": self._template(template),
        }
        found = np.empty(HISTORICAL_FEATURE_COUNT, np.float32)
        for kind, columns in PLACES.items():
            found[columns] = self._values[kind][rows[kind]]
        found[IS_NEW_USER] = rows["user"] < 0
        return found

    def age_seconds(self, now: datetime) -> float:
        """How long ago the last query that may count had ended. Raises ValueError for a time without a zone."""
        if now.tzinfo is None:
            raise ValueError("the time has no zone: give it one, datetime.now(UTC)")
        return (now - self.as_of).total_seconds()

    def _template(self, template: str) -> int:
        first, second = (np.uint64(int(template[place : place + _HALF], 16)) for place in (0, _HALF))
        firsts, seconds = self._templates
        row = int(np.searchsorted(firsts, first))
        while row < len(firsts) and firsts[row] == first:
            if seconds[row] == second:
                return row
            row += 1
        return -1


def _read(path: Path) -> dict[str, Any]:
    """Names as lists, sums as arrays."""
    import pyarrow.parquet as pq

    table = pq.ParquetFile(path).read()
    return {
        name: table[name].to_pylist() if name.endswith("name") else table[name].to_numpy()
        for name in table.column_names
    }


def _halves(digits: str, templates: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Both halves of each fingerprint as numbers, in the order of the fingerprints, which is theirs."""
    if len(digits) != 2 * _HALF * templates:
        raise ValueError("templates are not all fingerprints of 32 hexadecimal digits")
    halves = np.frombuffer(bytes.fromhex(digits), ">u8").reshape(-1, 2).astype(np.uint64)
    return np.ascontiguousarray(halves[:, 0]), np.ascontiguousarray(halves[:, 1])


def _with_unseen(kind: str, sums: Sums, prior: Sums, strength: float) -> NDArray[np.float32]:
    unseen = history_values.missing(1, kind)
    rows = {name: np.concatenate([np.asarray(sums[name], np.float64), unseen[name]]) for name in BLOCKS[kind]}
    return history_values.block(kind, rows, prior, strength)
