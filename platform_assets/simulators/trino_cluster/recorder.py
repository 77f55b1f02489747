"""Records a log: plans the traffic, runs every query, and writes what was measured, one query at a time.

    queries.parquet   the log in the event listener's layout
    thresholds.json   98th percentiles of CPU and memory over the first 30 days: what "heavy" means in this log
    costs.json        the law fitted to it, which a generated log takes its costs from
    recording.json    how it was recorded: scenario, versions, machine, counts

Costs are measured, arrival times are scheduled, and nothing queued: each query ran alone. What does not belong here: how one
query is measured, and how the law is fitted.
"""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.simulators.trino_cluster.duckdb_text import in_duckdb
from platform_assets.simulators.trino_cluster.layout import FAILED, FINISHED, LOG_FILE, SCHEMA, created, query_id
from platform_assets.simulators.trino_cluster.measure import Limits, Measurement, measure
from platform_assets.simulators.trino_cluster.scenario import Recording, SimulatorError, days_of
from platform_assets.simulators.trino_cluster.tpch import make_database
from platform_assets.simulators.trino_cluster.traffic import Arrival, Habits, Traffic
from platform_assets.simulators.trino_cluster.users import Estate, User, draw_users

ESTATES = (Estate("hive", "sales", 1.0), Estate("hive", "sandbox", 0.1))
THRESHOLD_DAYS, THRESHOLD_QUANTILE = 30, 0.98
_PATIENCE_SECONDS = (0.01, 0.15)
_GIBIBYTE = 2**30
# About five days of the shipped log; smaller groups repeat the texts that a codec would find again.
_GROUP_ROWS = 500
Measure = Callable[[Path, str, str, Limits], Measurement]


@dataclass(frozen=True)
class Planned:
    """One query to run, and who sends it."""

    arrival: Arrival
    user: User
    identifier: str


def plan(recording: Recording) -> Iterator[Planned]:
    """Every query of a recording, in order; the same recording always plans the same ones."""
    users = draw_users(Random(recording.seed), recording.users, recording.days, ESTATES, 1.0)
    traffic = Traffic(users, days_of(recording), recording.queries, recording.seed, Habits())
    for day in traffic.days():
        for number, arrival in enumerate(day):
            yield Planned(arrival, users[arrival.user], query_id(arrival.second, number))


def record(
    recording: Recording, folder: Path, database: Path | None = None, advance: Callable[[], None] = lambda: None,
    measured: Measure = measure,
) -> Counter[str]:  # fmt: skip
    """Run the whole plan and write the folder; returns how often each query state and error came out.

    The data is made beside the log unless `database` holds it already. A recording that was stopped goes on where it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / LOG_FILE).exists():
        raise SimulatorError(f"{folder} already holds {LOG_FILE}; choose another folder, or delete it")
    database = database or folder / "tpch.duckdb"
    if not database.exists():
        make_database(database, recording.scale)
    spool = folder / ".measured.jsonl"
    rows = _measured_before(spool, recording)
    with spool.open("a", encoding="utf-8") as sink:
        for number, planned in enumerate(plan(recording)):
            if number >= len(rows):
                rows.append(_run(planned, recording, database, measured))
                sink.write(json.dumps(rows[-1]) + "\n")
                sink.flush()
            advance()
    outcomes = _write(recording, folder, rows)
    spool.unlink()
    return outcomes


def _measured_before(spool: Path, recording: Recording) -> list[dict[str, Any]]:
    """Rows of a recording that was stopped; raises SimulatorError where they are another plan's."""
    if not spool.exists():
        return []
    rows = [json.loads(line) for line in spool.read_text(encoding="utf-8").splitlines()]
    planned = [(each.identifier, each.arrival.statement.text) for each in islice(plan(recording), len(rows))]
    if planned != [(row["query_id"], row["query"]) for row in rows]:
        raise SimulatorError(f"{spool.parent} holds the beginning of another recording; choose another folder")
    return rows


def _run(planned: Planned, recording: Recording, database: Path, measured: Measure) -> dict[str, Any]:
    arrival, hurried = planned.arrival, planned.user.role.hurried
    shortest, longest = _PATIENCE_SECONDS
    limits = Limits(
        recording.hurried_cpu_limit_seconds if hurried else recording.cpu_limit_seconds,
        recording.memory_limit_mb,
        None if arrival.patience is None else shortest + (longest - shortest) * arrival.patience,
    )
    found = measured(database, arrival.estate.schema, in_duckdb(arrival.statement), limits)
    return _row(planned, limits, found)


def _row(planned: Planned, limits: Limits, found: Measurement) -> dict[str, Any]:
    statement, estate, user = planned.arrival.statement, planned.arrival.estate, planned.user
    session = {"query_max_cpu_time": f"{limits.cpu_seconds}s"} if user.role.hurried else {}
    return {
        "query_id": planned.identifier,
        "query": statement.text,
        "update_type": statement.update_type,
        "prepared_query": statement.prepared,
        "query_state": FAILED if found.error else FINISHED,
        "user": user.name,
        "user_agent": user.role.agent,
        "client_info": user.role.client_info,
        "client_tags_json": "[]",
        "source": user.role.source,
        "catalog": estate.catalog,
        "schema": estate.schema,
        "resource_group_id": f"global.{user.role.name}",
        "session_properties_json": json.dumps(session),
        "server_address": "localhost",
        "server_version": _server_version(),
        "environment": "recorded",
        "query_type": statement.query_type,
        "error_code": found.error.code if found.error else None,
        "error_type": found.error.type if found.error else None,
        "failure_message": found.error.message if found.error else None,
        "cpu_time_millis": round(found.cpu_seconds * 1_000),
        "wall_time_millis": round(found.wall_seconds * 1_000),
        "queued_time_millis": 0,
        "peak_memory_bytes": found.peak_bytes,
        "total_rows": found.scanned_rows,
        "output_rows": found.output_rows,
    }


def _server_version() -> str:
    import duckdb

    return f"DuckDB {duckdb.__version__}"


def _write(recording: Recording, folder: Path, rows: list[dict[str, Any]]) -> Counter[str]:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    partial = folder / f".{LOG_FILE}.partial"
    write_rows(table, partial)
    states = Counter(row["error_code"] or row["query_state"] for row in rows)
    limits = thresholds(table, recording.start)
    _write_json(folder / "thresholds.json", limits)
    _write_json(folder / "recording.json", _described(recording, states, table))
    partial.replace(folder / LOG_FILE)
    return states


def write_rows(table: pa.Table, path: Path) -> None:
    """Rows lie in the order of their times: whoever reads one day reads the groups of that day only, by their statistics."""
    pq.write_table(table, path, row_group_size=_GROUP_ROWS, compression="zstd", compression_level=19)


def thresholds(log: pa.Table, start: date) -> dict[str, float | int]:
    """What is heavy in this log: percentiles of its first 30 days, since nothing of it takes 300 s or 10 GiB."""
    day = np.array([created(name) for name in log["query_id"].to_pylist()]) // 86_400
    first = day < (start - date(1970, 1, 1)).days + THRESHOLD_DAYS
    cpu = np.asarray(log["cpu_time_millis"])[first] / 1_000
    memory = np.asarray(log["peak_memory_bytes"])[first] / _GIBIBYTE
    return {
        "cpu_threshold_seconds": round(float(np.quantile(cpu, THRESHOLD_QUANTILE)), 3),
        "memory_threshold_gb": round(float(np.quantile(memory, THRESHOLD_QUANTILE)), 4),
        "quantile": THRESHOLD_QUANTILE,
        "first_days": THRESHOLD_DAYS,
        "rows": int(first.sum()),
    }


def _described(recording: Recording, states: Counter[str], log: pa.Table) -> dict[str, Any]:
    return {
        "scenario": asdict(recording) | {"start": recording.start.isoformat()},
        "engine": _server_version(),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "measured": "cpu_time_millis, wall_time_millis, peak_memory_bytes, total_rows, output_rows, errors",
        "scheduled": "query_id (creation), user, session; queued_time_millis is 0: each query ran alone",
        "outcomes": dict(sorted(states.items())),
        "cpu_seconds": round(sum(log["cpu_time_millis"].to_pylist()) / 1_000, 1),
    }


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
