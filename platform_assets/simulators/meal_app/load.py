"""A world into Postgres: COPY in two transactions side by side, the event log's and the domain tables'.

The log's commits last and only after the domain's, so that a failed load leaves no event whose household is missing; two
connections, because one server process parsing JSON is the bottleneck (measured: 45,000 events/s with one).

What does not belong here: the schema (`core.migrations`). Rows of the simulator carry UUIDs of version 8, which RFC 9562
leaves to whoever makes the id: `replace` deletes those and refuses a database with households of anybody else.
"""

# pyarrow.compute gets its functions at run time, where a type checker cannot see them.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from psycopg import sql

from platform_assets.simulators.meal_app.experiment import EXPERIMENT_ID, POLICY_ID, POLICY_NAME, POLICY_VERSION_ID
from platform_assets.simulators.meal_app.scenario import SimulatorError
from platform_assets.simulators.meal_app.text import SIMULATED_VERSION, postgres_arrays
from platform_assets.simulators.meal_app.world import World

T = TypeVar("T")
# Table -> the UUID column that says whose row it is; None: rows carry no mark.
TABLES: dict[str, str | None] = {
    "exp.experiments": "id",
    "exp.variants": "id",
    "exp.assignments": "id",
    "public.recipes": None,
    "public.households": "id",
    "public.household_versions": "household_id",
    "public.household_constraints": "household_id",
    "public.household_constraint_versions": "household_id",
    "public.pantry_snapshots": "household_id",
    "exp.events": "id",
}
LOG = "exp.events"
MUST_BE_EMPTY = tuple(name for name in TABLES if name.startswith("public.") or name == LOG)
BATCH_ROWS = 20_000
_OPTIONS = "-c timezone=UTC -c synchronous_commit=off"


def load(
    worlds: World | Iterable[World], url: str, replace: bool = False, progress: Callable[[World], None] = lambda w: None
) -> int:
    """Write a world, or the chunks of one, and return the number of events; `progress` is told every chunk written.

    Raises SimulatorError, having written nothing, when a table already holds rows and `replace` is not set.
    """
    with psycopg.connect(url, options=_OPTIONS) as connection:
        _delete_simulated(connection) if replace else _refuse_occupied(connection)
        policy_version = _ensure_policy(connection)
    chunks = [worlds] if isinstance(worlds, World) else worlds
    events = 0
    with (
        psycopg.connect(url, options=_OPTIONS) as log,
        psycopg.connect(url, options=_OPTIONS) as domain,
        ThreadPoolExecutor(1) as pool,
    ):
        for chunk, encoded in _ahead((chunk, _encode(chunk, policy_version)) for chunk in chunks):
            writing = pool.submit(_copy, log, chunk, {LOG: encoded.pop(LOG)})
            _copy(domain, chunk, encoded)
            writing.result()
            events += chunk.event_count
            progress(chunk)
    return events


def _refuse_occupied(connection: psycopg.Connection) -> None:
    for table in MUST_BE_EMPTY:
        if connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(_table(table))).fetchone():
            raise SimulatorError(
                f"{table} already holds rows; give --replace to delete what the simulator wrote, or use another database"
            )


def _delete_simulated(connection: psycopg.Connection) -> None:
    """Delete the simulator's rows, and the recipes, which are nobody else's when all households are simulated."""
    mark = sql.SQL("substr(id::text, 15, 1) <> {}").format(SIMULATED_VERSION)
    if connection.execute(sql.SQL("SELECT 1 FROM public.households WHERE {} LIMIT 1").format(mark)).fetchone():
        raise SimulatorError(
            "public.households holds households that the simulator did not make; nothing was deleted: use another database"
        )
    connection.execute("DELETE FROM exp.metric_aggregates WHERE experiment_id = %s", [EXPERIMENT_ID])
    for table, column in reversed(TABLES.items()):
        where = sql.SQL("true")
        if column is not None:
            where = sql.SQL("substr({}::text, 15, 1) = {}").format(sql.Identifier(column), SIMULATED_VERSION)
        connection.execute(sql.SQL("DELETE FROM {} WHERE {}").format(_table(table), where))


def _ensure_policy(connection: psycopg.Connection) -> str:
    """The id of version 0 of the planner's policy, which is created where it is missing; events refer to it."""
    connection.execute(
        "INSERT INTO exp.policies (id, name, description) VALUES (%s, %s, %s) ON CONFLICT (name) DO NOTHING",
        [POLICY_ID, POLICY_NAME, "the meal planner"],
    )
    connection.execute(
        "INSERT INTO exp.policy_versions (id, policy_id, version, config_defaults, status)"
        """ SELECT %s, id, 0, '{"planner": "heuristic"}', 'active' FROM exp.policies WHERE name = %s"""
        " ON CONFLICT (policy_id, version) DO NOTHING",
        [POLICY_VERSION_ID, POLICY_NAME],
    )
    row = connection.execute(
        "SELECT v.id::text FROM exp.policy_versions v JOIN exp.policies p ON p.id = v.policy_id"
        " WHERE p.name = %s AND v.version = 0",
        [POLICY_NAME],
    ).fetchone()
    if row is None:
        raise SimulatorError("version 0 of the planner's policy could not be created")
    return row[0]


def _encode(world: World, policy_version: str) -> dict[str, list[memoryview]]:
    """The world's tables as CSV, in the order in which they may be written."""
    tables = {name: world.tables[name] for name in TABLES if name in world.tables}
    if policy_version != POLICY_VERSION_ID:
        tables[LOG] = _with_policy_version(tables[LOG], policy_version)
    return {name: [_csv(batch) for batch in table.to_batches(BATCH_ROWS)] for name, table in tables.items()}


def _copy(connection: psycopg.Connection, world: World, encoded: dict[str, list[memoryview]]) -> None:
    for name, batches in encoded.items():
        columns = sql.SQL(", ").join(map(sql.Identifier, world.tables[name].column_names))
        statement = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT csv)").format(_table(name), columns)
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for batch in batches:
                copy.write(batch)


def _csv(batch: pa.RecordBatch) -> memoryview:
    columns = [postgres_arrays(each) if pa.types.is_list(each.type) else each for each in batch.columns]
    buffer = pa.BufferOutputStream()
    options = pyarrow.csv.WriteOptions(include_header=False)
    pyarrow.csv.write_csv(pa.RecordBatch.from_arrays(columns, batch.schema.names), buffer, options)
    return memoryview(buffer.getvalue())


def _with_policy_version(events: pa.Table, policy_version: str) -> pa.Table:
    """The events refer to the version 0 that was there before."""
    context = pc.replace_substring(events["context"], POLICY_VERSION_ID, policy_version)
    return events.set_column(events.column_names.index("context"), "context", context)


def _table(name: str) -> sql.Identifier:
    return sql.Identifier(*name.split("."))


def _ahead(items: Iterable[T]) -> Iterable[T]:
    """The items, each drawn in a thread while the one before is being written; one is held, no more."""
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(next, iterator, None)
        while (item := pending.result()) is not None:
            pending = pool.submit(next, iterator, None)
            yield item
