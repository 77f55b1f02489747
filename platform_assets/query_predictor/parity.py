"""Whether the rows that a model is trained on are those that serving makes, to the last bit.

Rows drawn from every split are made again from the query's text and session, by the snapshot that serving would have held on the
day it was created, through `served_features`; and once more by the snapshot that is stored with the features, against a recount
of it. Every number must have the same bits; two missing values are the same. What does not belong here: the model's answers
(`onnx_model`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from platform_assets.core.engine import Engine
from platform_assets.core.quality import Outcome
from platform_assets.query_predictor import history, text_terms
from platform_assets.query_predictor.context_features import Context
from platform_assets.query_predictor.features import HISTORICAL_NAMES
from platform_assets.query_predictor.history_snapshot import HistorySnapshot
from platform_assets.query_predictor.served_features import ServedFeatures
from platform_assets.query_predictor.split_features import HISTORY, WeekFeatures, read_week
from platform_assets.query_predictor.text_terms import TermWeights

NAME = "served_rows_are_training_rows"
ROWS = 2_000
_EXAMPLES = 5
_FOUND = """
SELECT w.place, q.query, q."user", q.catalog, q."schema", q.clientInfo, q.createTime, q.template
FROM labelled AS q
JOIN wanted AS w ON w.queryId = q.queryId AND w.createTime = q.createTime
ORDER BY w.place
"""


class _Drawn(NamedTuple):
    """A row to be made again: where it stands, and what it must be."""

    split: str
    query_id: str
    created: Any
    values: NDArray[np.float32]


def check(engine: Engine, folder: Path, labelled: Sequence[Path], rows: int = ROWS, seed: int = 0) -> Outcome:
    """Make up to `rows` rows of a features folder again and compare; the reason names the first column that differs.

    `labelled` are the files that the features were built from. Raises FeaturesError or SnapshotError for a folder that is not
    whole.
    """
    week = read_week(folder)
    drawn = _draw(week, rows, seed)
    with TemporaryDirectory(prefix="parity-", dir=_made(engine.scratch)) as name:
        work = Path(name)
        found = _find(engine, drawn, labelled, work)
        problems = [
            f"{row.split} row {row.query_id} is in no labelled day, or in several"
            for place, row in enumerate(drawn)
            if len(found.get(place, ())) != 1
        ]
        sources = {place: sources[0] for place, sources in found.items() if len(sources) == 1}
        problems += _differences(engine, week, drawn, sources, labelled, work)
    return _outcome(drawn, sources, problems)


def first_difference(
    stored: NDArray[np.float32], served: NDArray[np.float32], names: Sequence[str]
) -> tuple[str, float, float] | None:
    """Name, stored and served value of the first column whose bits differ; NaN is NaN."""
    differs = (stored.view(np.uint32) != served.view(np.uint32)) & ~(np.isnan(stored) & np.isnan(served))
    if not differs.any():
        return None
    column = int(differs.argmax())
    return names[column], float(stored[column]), float(served[column])


def _draw(week: WeekFeatures, rows: int, seed: int) -> list[_Drawn]:
    """As many of each split, as far as it has them."""
    drawn: list[_Drawn] = []
    chance = np.random.default_rng(seed)
    for number, (name, split) in enumerate(week.splits.items()):
        wanted = min(len(split), (rows - len(drawn)) // (len(week.splits) - number))
        places = np.sort(chance.choice(len(split), wanted, replace=False)).astype(np.int64)
        told = pq.read_table(week.folder / f"{name}_rows.parquet", columns=["queryId", "createTime"]).take(places)
        dense = split.dense(places)
        columns = (told["queryId"].to_pylist(), told["createTime"].to_pylist(), dense)
        drawn += [_Drawn(name, *row) for row in zip(*columns, strict=True)]
    return drawn


def _find(
    engine: Engine, drawn: Sequence[_Drawn], labelled: Sequence[Path], work: Path
) -> dict[int, list[dict[str, Any]]]:
    table = pa.table(
        {
            "place": pa.array(range(len(drawn)), pa.int64()),
            "queryId": pa.array([row.query_id for row in drawn], pa.string()),
            "createTime": pa.array([row.created for row in drawn], pa.timestamp("us", tz="UTC")),
        }
    )
    pq.write_table(table, work / "wanted.parquet")
    found: dict[int, list[dict[str, Any]]] = {}
    for row in engine.rows(_FOUND, {"labelled": labelled, "wanted": [work / "wanted.parquet"]}):
        found.setdefault(row["place"], []).append(row)
    return found


def _differences(
    engine: Engine,
    week: WeekFeatures,
    drawn: Sequence[_Drawn],
    sources: Mapping[int, Mapping[str, Any]],
    labelled: Sequence[Path],
    work: Path,
) -> list[str]:
    stored = HistorySnapshot.open(week.folder / HISTORY)
    terms = TermWeights.from_json((week.folder / text_terms.NAME).read_text(encoding="utf-8"))
    days = history.gather(engine, labelled, stored.options, work / "history_days.parquet")

    def snapshot(day: date) -> HistorySnapshot:
        return HistorySnapshot.open(history.write_snapshot(engine, days, day, stored.options, work / "snapshot"))

    problems = []
    for day, places in _by_day(sources):
        serve = ServedFeatures(snapshot(day), terms)
        for place in places:
            row, source = drawn[place], sources[place]
            context = Context(source["createTime"], source["catalog"], source["schema"], source["clientInfo"])
            served = serve(source["query"], source["user"], context)
            if difference := first_difference(row.values, served.values, week.column_names):
                problems.append(_told(f"{row.split} row {row.query_id}", *difference))
    return problems + _stale(stored, snapshot(stored.day), sources)


def _by_day(sources: Mapping[int, Mapping[str, Any]]) -> Iterator[tuple[date, list[int]]]:
    days: dict[date, list[int]] = {}
    for place, source in sources.items():
        days.setdefault(source["createTime"].date(), []).append(place)
    yield from sorted(days.items())


def _stale(stored: HistorySnapshot, recounted: HistorySnapshot, sources: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """Where the stored snapshot says something else than a recount of its day."""
    if stored.totals != recounted.totals:
        return [f"the stored snapshot counts {dict(stored.totals)} and a recount {dict(recounted.totals)}"]
    problems = []
    for source in sources.values():
        key = (source["user"], source["catalog"], source["schema"], source["template"])
        if difference := first_difference(stored.features(*key), recounted.features(*key), HISTORICAL_NAMES):
            problems.append(_told(f"the stored snapshot of user {source['user']}", *difference))
    return problems


def _told(what: str, name: str, stored: float, served: float) -> str:
    return f"{what}: {name} is stored as {stored!r} and served as {served!r}"


def _outcome(drawn: Sequence[_Drawn], sources: Mapping[int, Mapping[str, Any]], problems: Sequence[str]) -> Outcome:
    days = len({source["createTime"].date() for source in sources.values()})
    what = f"{len(drawn)} rows of {days} days made again by the served way"
    shown = "; ".join(problems[:_EXAMPLES])
    reason = f"{what}: {len(problems)} differ; {shown}" if problems else f"{what}: every bit is the same"
    if not drawn:
        reason = "the features have no row that could be compared: build them from days with queries"
    return Outcome(
        NAME, bool(drawn) and not problems, reason, {"rows": len(drawn), "days": days, "differing": len(problems)}
    )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
