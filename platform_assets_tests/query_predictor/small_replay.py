"""A made-up week of features to train on, and the week after it to replay, with the sample that its texts and sessions are in."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from platform_assets.query_predictor import (
    features_document,
    history,
    onnx_model,
    replay,
    sql_tokens,
    text_terms,
    training,
)
from platform_assets.query_predictor.features import BASE_FEATURE_COUNT, HISTORICAL_FEATURE_COUNT
from platform_assets.query_predictor.features_document import NUMBERS
from platform_assets.query_predictor.history_snapshot import HistorySnapshot
from platform_assets.query_predictor.text_hash import text_hash
from platform_assets.query_predictor.text_terms import TermWeights
from platform_assets_tests.query_predictor.small_features import TERMS, WEEK, MadeUpWeek, write_week

BEFORE = WEEK - timedelta(days=7)
SPLITS = ("validation", "test")
ONLINE = '{{"source": "route={}"}}'
USERS = ("ann", "bob", "new")


@dataclass(frozen=True)
class ReplayedWeek:
    """`trained` is of the week before, `week` is replayed."""

    trained: MadeUpWeek
    model: Path
    week: MadeUpWeek
    sample: Path

    def options(self, output: Path, **changes: Any) -> Namespace:
        """As the command line has them."""
        given = {
            "model": self.model, "model_features": self.trained.features, "features": self.week.features,
            "sample": self.sample, "zero_cost": self.week.zero_cost, "baseline": "rule", "output": output,
            "online_route": replay.ONLINE_ROUTE, **changes,
        }  # fmt: skip
        return Namespace(**given)

    def words(self, output: Path, **changes: Any) -> list[str]:
        """The command line."""
        return [
            word for name, value in vars(self.options(output, **changes)).items() for word in (f"--{name}", str(value))
        ]


def write_replayed(folder: Path, rows: Mapping[str, int] | None = None, seed: int = 1, **changes: Any) -> ReplayedWeek:
    """`rows` of the replayed week by split; `changes` go to the training."""
    trained = write_week(folder / "before", rows={"train": 3000, "validation": 1000, "test": 200}, seed=0)
    earlier(trained.features, 7)
    options = trained.options(folder / "model", plots=False, cv_folds=0, **changes)
    training.train(options)
    week = write_week(folder / "week", rows={"train": 60, "validation": 900, "test": 1100, **(rows or {})}, seed=seed)
    write_sample(folder / "sample", week.features)
    return ReplayedWeek(trained, options.output, week, folder / "sample")


def earlier(features: Path, days: int) -> None:
    """The same rows, created some days before, of the week before; its snapshot knows users, and the templates of train days."""
    week = features_document.read(features) - timedelta(days=days)
    features_document.write(features, week)
    remember(features / "history", week + timedelta(days=7))
    for path in features.glob("*_rows.parquet"):
        table = pq.read_table(path)
        place = table.column_names.index("createTime")
        moved = pc.call_function("subtract", [table["createTime"], pa.scalar(timedelta(days=days), pa.duration("us"))])
        pq.write_table(table.set_column(place, "createTime", moved), path)


def remember(folder: Path, day: date) -> None:
    """Make a made-up snapshot that of another day, which knows two users and sixty templates."""
    content = json.loads((folder / history.NAME).read_text())
    content |= {"day": day.isoformat(), "as_of": datetime(day.year, day.month, day.day, tzinfo=UTC).isoformat()}
    (folder / history.NAME).write_text(json.dumps({**content, "all": {"queries": 1400, "heavy": 60, "failed": 9}}))
    users = pq.read_table(folder / "users.parquet")
    known: dict[str, list[Any]] = {name: [5, 6] for name in users.column_names[1:]}
    pq.write_table(pa.table({"name": list(USERS[:2]), **known}, users.schema), folder / "users.parquet")
    templates = pq.read_table(folder / "templates.parquet")
    known = {
        "queries": [20] * 60,
        "heavy": [place // 3 for place in range(60)],
        "last_cpu": [1.0 * place for place in range(60)],
    }
    names = [f"{place:032x}" for place in range(60)]
    pq.write_table(pa.table({"name": names, **known}, templates.schema), folder / "templates.parquet")


def write_sample(folder: Path, features: Path, client_info: Callable[[int], str | None] = lambda row: None) -> None:
    """Texts that hold the terms that each row has; of every third row a comment that no vocabulary knows."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SPLITS:
        ids = pq.read_table(features / f"{name}_rows.parquet", columns=["queryId"])["queryId"].to_pylist()
        indices, indptr = (np.load(features / f"{name}_tfidf_{part}.npy") for part in ("indices", "indptr"))
        texts = [
            " ".join(TERMS[term] for term in indices[indptr[row] : indptr[row + 1]]) + " unknown" * (row % 3 == 0)
            for row in range(len(ids))
        ]
        columns = {
            "queryId": ids, "query": texts, "textHash": [text_hash(text).hex() for text in texts],
            "clientInfo": pa.array([client_info(row) for row in range(len(ids))], pa.string()),
            "user": [USERS[row % 3] for row in range(len(ids))], "catalog": ["hive"] * len(ids),
            "schema": pa.nulls(len(ids), pa.string()),
        }  # fmt: skip
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def slow_scores(week: ReplayedWeek, model: Path) -> list[float]:
    """What a model says of the replayed rows, asked one by one, each text read for itself."""
    terms = TermWeights.from_json((model / text_terms.NAME).read_text())
    asked, past = onnx_model.OnnxModel(model / onnx_model.NAME), HistorySnapshot.open(model / "history")
    found: list[float] = []
    for name in SPLITS:
        numbers = np.load(week.week.features / f"{name}.npy")
        told = pq.read_table(week.week.features / f"{name}_rows.parquet").to_pylist()
        sessions = pq.read_table(week.sample / f"{name}.parquet").to_pylist()
        for row, session, each in zip(numbers, sessions, told, strict=True):
            weighed = terms.row(text_terms.words(sql_tokens.read(session["query"])))
            dense = np.zeros((1, len(NUMBERS) + len(terms)), np.float32)
            dense[0, : len(NUMBERS)] = row
            if each["createTime"].date() >= past.day:
                key = (session["user"], session["catalog"], session["schema"], each["template"])
                dense[0, BASE_FEATURE_COUNT : BASE_FEATURE_COUNT + HISTORICAL_FEATURE_COUNT] = past.features(*key)
            dense[0, len(NUMBERS) + weighed.columns] = weighed.weights
            found.append(float(asked.scores(dense)[0]))
    return found


def spoilt(week: ReplayedWeek, name: str, value: str, folder: Path) -> Any:
    """An option's value of that kind: a `late` model, a `narrow` sample, an `other` week, or a folder that is not there."""
    if name == "online_route":
        return value
    if value == "late":
        late = Path(shutil.copytree(week.model, folder / "late"))
        config = json.loads((late / "config.json").read_text())
        (late / "config.json").write_text(json.dumps({**config, "week": WEEK.isoformat()}))
    elif value == "narrow":
        (folder / value).mkdir()
        for split in SPLITS:
            table = pq.read_table(week.sample / f"{split}.parquet").drop_columns(["clientInfo"])
            pq.write_table(table, folder / value / f"{split}.parquet")
    elif value == "other":
        other = write_week(folder / value, {"train": 60, "validation": 30, "test": 30})
        write_sample(folder / "of_other", other.features)
        return folder / "of_other" if name == "sample" else other.features
    return folder / value
