"""Look at your Postgres, lake and MLflow, and name everything that is missing before a run does.

Changes nothing but a probe object in the lake, removed at once. One line per finding, with the remedy; exit status 1 when
something is missing. The columns asked for are those the planner's queries read; types are left to the database, which casts.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator

from platform_assets.core import embedded_postgres, migrations, services
from platform_assets.core.lake import Lake, LakeError
from platform_assets.core.redaction import without_password
from platform_assets.core.settings import Settings
from platform_assets.core.tracking import EXPERIMENTS
from platform_assets.core.warehouse import Warehouse, WarehouseError

REQUIRED = {
    "exp.events": (
        "id", "event_type", "unit_type", "unit_id", "experiments", "context", "metrics", "payload", "timestamp", "created_at",
    ),
    "pantry_snapshots": ("id", "household_id", "snapshot_time", "recorded_at", "items"),
    "recipes": (
        "id", "title", "cuisine", "main_protein", "ingredients", "tags", "allergens", "diets", "prep_time_min",
        "cost_per_serving", "servings", "valid_from", "recorded_at",
    ),
}  # fmt: skip
# Either the version table, or today's rows instead (then datasets say that the source is not point-in-time).
VERSIONED = {
    "household_versions": (
        ("household_id", "valid_from", "recorded_at", "size", "preferences", "dietary_restrictions", "region"),
        "households",
        ("id", "size", "preferences", "dietary_restrictions", "region"),
    ),
    "household_constraint_versions": (
        ("household_id", "valid_from", "recorded_at", "budget", "max_prep_time", "excluded"),
        "household_constraints",
        ("household_id", "budget", "max_prep_time", "excluded"),
    ),
}
# By the catalogue and not by to_regclass, which raises where the reader may not even look into the schema.
_COLUMNS = """
    SELECT a.attname::text AS name, has_column_privilege(c.oid, a.attnum, 'SELECT') AS readable,
           has_schema_privilege(n.oid, 'USAGE') AS reachable
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relname = current_setting('platform.relation') AND n.nspname = current_setting('platform.schema')
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(arguments: argparse.Namespace) -> int:
    """Print the findings."""
    findings = list(inspect(Settings.from_environment()))
    for finding in findings:
        print(f"MISSING  {finding}")
    print("everything is there" if not findings else f"{len(findings)} finding(s)")
    return 1 if findings else 0


def inspect(settings: Settings) -> Iterator[str]:
    """Everything that is missing, each with its remedy."""
    source = settings.source_url or embedded_postgres.url(settings.postgres_folder)
    warehouse = settings.warehouse_url or embedded_postgres.url(settings.postgres_folder)
    yield from _guarded(f"source {without_password(source)}", lambda: inspect_source(source))
    yield from _guarded(f"warehouse {without_password(warehouse)}", lambda: _inspect_schema(warehouse))
    yield from _guarded(f"lake {without_password(settings.lake_url)}", lambda: _inspect_lake(settings))
    mlflow = without_password(settings.mlflow_tracking_uri or "embedded")
    yield from _guarded(f"MLflow {mlflow}", lambda: _inspect_mlflow(settings))


def inspect_source(url: str) -> Iterator[str]:
    """Missing tables, columns and grants of the application's database."""
    with Warehouse(url).snapshot() as snapshot:

        def columns(table: str) -> dict[str, str]:
            """Per column, which grant is missing ('' when it can be read)."""
            schema, _, name = table.rpartition(".")
            names = {"schema": schema or "public", "relation": name}
            rows = snapshot.stream(_COLUMNS, names).read_all().to_pylist()
            usage, select = f"USAGE ON SCHEMA {names['schema']}", f"SELECT ON {table}"
            return {
                row["name"]: "" if row["readable"] and row["reachable"] else select if row["reachable"] else usage
                for row in rows
            }

        for table, wanted in REQUIRED.items():
            yield from _inspect_table(table, wanted, columns(table))
        for table, (wanted, current, current_wanted) in VERSIONED.items():
            found = columns(table)
            if found:
                yield from _inspect_table(table, wanted, found)
            elif fallback := columns(current):
                yield from _inspect_table(current, current_wanted, fallback)
            else:
                yield f"table {table} (or, without history, {current}): create one of them"


def _inspect_table(table: str, wanted: tuple[str, ...], found: dict[str, str]) -> Iterator[str]:
    if not found:
        yield f"table {table}: create it (`make migrate` shows the SQL)"
        return
    for name in wanted:
        if name not in found:
            yield f"column {table}.{name}: add it, or read from a view that has it"
    for grant in sorted({found[name] for name in wanted if found.get(name)}):
        yield f"grant for {table}: GRANT {grant} TO the platform's user"


def _inspect_schema(url: str) -> Iterator[str]:
    current, head = migrations.current_and_head(url)
    if current != head:
        yield f"migrations: the warehouse is at {current or 'nothing'}, the code wants {head}; run `make migrate`"


def _inspect_lake(settings: Settings) -> Iterator[str]:
    Lake(settings.lake_url, single_writer=settings.lake_single_writer).check()
    yield from ()


def _inspect_mlflow(settings: Settings) -> Iterator[str]:
    # A run's patience (core/tracking.py) is wrong for a question.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    tracking = services.open_tracking(settings)
    known = {experiment.name for experiment in tracking.client.search_experiments()}
    for name in EXPERIMENTS:
        if name not in known:
            yield f"MLflow experiment {name}: run `make setup`"


def _guarded(what: str, inspection: Callable[[], Iterator[str]]) -> Iterator[str]:
    """The findings of one part; a part that cannot be reached is itself a finding and does not hide the others."""
    try:
        yield from inspection()
    except (WarehouseError, LakeError) as error:
        yield f"{what}: {error}"
    except Exception as error:
        remedy = "is its address right (with http:// for a server), and does it run?"
        yield f"{what}: cannot be reached ({type(error).__name__}); {remedy}"
