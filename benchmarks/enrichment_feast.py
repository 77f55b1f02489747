"""The Feast contestant of `benchmarks.enrichment`: get_historical_features of three feature views, to Parquet.

A program of its own, for the interpreter of an environment that has Feast, whose requirements are not this project's
(`make bench` sets it up). Feast joins by event time alone; pantry items are JSON text here, because its types know no list of
structs. Writes one line of JSON: seconds, items, peak_mb.

    .venv-feast/bin/python benchmarks/enrichment_feast.py FOLDER PLANS
"""

from __future__ import annotations

import json
import sys
import time
from datetime import timedelta
from pathlib import Path


def main(folder: Path, plans: str) -> None:
    """Set up a store in `folder`, and time one historical retrieval from Parquet to Parquet."""
    import duckdb
    import pyarrow.parquet as pq

    _prepare(duckdb, folder, plans)
    store, names = _store(folder)
    began = time.perf_counter()
    asked = pq.read_table(folder / "feast_events.parquet").to_pandas()
    found = store.get_historical_features(entity_df=asked, features=names).to_arrow()
    pq.write_table(found, folder / "feast.parquet", compression="zstd")
    seconds = time.perf_counter() - began
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    sys.stdout.write(
        json.dumps({"seconds": seconds, "items": found.num_rows, "peak_mb": int(peak.split()[1]) * 1024 / 1e6}) + "\n"
    )


def _prepare(duckdb, folder: Path, plans: str) -> None:
    """What Feast wants of its sources: an entity column of one name, plain types. Not timed."""
    queries = {
        "events": f"SELECT event_id, household_id, generated_at AS event_timestamp FROM '{folder}/{plans}.parquet'",
        "households": f"SELECT entity AS household_id, valid_from, recorded_at, size, preferences, dietary_restrictions, region FROM '{folder}/household_versions.parquet'",
        "constraints": f"SELECT entity AS household_id, valid_from, recorded_at, budget, max_prep_time, excluded FROM '{folder}/household_constraint_versions.parquet'",
        "pantries": f"SELECT entity AS household_id, valid_from, recorded_at, to_json(items)::VARCHAR AS items FROM '{folder}/pantry_versions.parquet'",
    }
    for name, query in queries.items():
        duckdb.sql(f"COPY ({query}) TO '{folder}/feast_{name}.parquet' (FORMAT parquet, COMPRESSION zstd)")


def _store(folder: Path):
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
    from feast.types import Array, Float64, Int32, String

    household = Entity(name="household", join_keys=["household_id"])
    fields = {
        "households": {
            "size": Int32, "preferences": Array(String), "dietary_restrictions": Array(String), "region": String,
        },
        "constraints": {"budget": Float64, "max_prep_time": Int32, "excluded": Array(String)},
        "pantries": {"items": String},
    }  # fmt: skip
    config = RepoConfig(
        project="benchmark", provider="local", registry=str(folder / "feast_registry.db"),
        offline_store={"type": "duckdb"}, online_store={"type": "sqlite", "path": str(folder / "feast_online.db")},
        entity_key_serialization_version=3,
    )  # fmt: skip
    store, views = FeatureStore(config=config), []
    for name, columns in fields.items():
        source = FileSource(
            name=name, path=str(folder / f"feast_{name}.parquet"), timestamp_field="valid_from",
            created_timestamp_column="recorded_at",
        )  # fmt: skip
        schema = [Field(name=column, dtype=kind) for column, kind in columns.items()]
        views.append(
            FeatureView(name=name, entities=[household], ttl=timedelta(days=3650), schema=schema, source=source)
        )
    store.apply([household, *views])
    return store, [f"{name}:{column}" for name, columns in fields.items() for column in columns]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
