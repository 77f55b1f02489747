"""The platform as `make demo` sets it up, with a simulated app, in a folder that is gone afterwards.

For benchmarks that run Dagster: embedded Postgres, MLflow in it, Dagster's own storage in SQLite files (as here) or in the
same Postgres. What is run and timed belongs to each benchmark.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from uuid import uuid4

import psycopg
from psycopg import sql

from benchmarks.measure import ROOT, run_command
from platform_assets.core import embedded_postgres, services
from platform_assets.core.settings import Settings
from platform_assets.core.warehouse import database_url

if TYPE_CHECKING:
    import dagster as dg

# A Friday more than a year ago: a calendar ends today, and a benchmark must not shrink with the date.
START = date(2025, 1, 3)
MINIMUM_ROWS = 10  # small simulated weeks; that a week is large enough is not what is measured


@dataclass(frozen=True)
class Platform:
    """A running platform; `settings` name its folder, its calendar and its lake."""

    settings: Settings

    @property
    def source_url(self) -> str:
        """The application's database."""
        return embedded_postgres.url(self.settings.postgres_folder)

    def simulate(self, households: int, weeks: int) -> float:
        """Fill the source with a simulated app, as `make demo` does; returns the seconds it took."""
        command = [sys.executable, "-m", "platform_assets.simulators.meal_app", "--url", self.source_url, "--seed", "7"]
        command += ["--households", str(households), "--weeks", str(weeks)]
        command += ["--start", self.settings.planner_start.isoformat()]
        return run_command([*command, "--ground_truth", str(self.settings.home / "simulated")])[0]

    def with_lake(self, lake: Path) -> Platform:
        """The same platform with another, empty lake."""
        return Platform(replace(self.settings, lake_url=str(lake)))

    def resources(self) -> dict[str, Any]:
        """Its resources, for code that runs without definitions."""
        from platform_assets.orchestration import resources

        return {
            "lake": resources.LakeResource(url=self.settings.lake_url),
            "engine": resources.EngineResource(scratch=str(self.settings.scratch_folder)),
            "source": resources.SourceResource(url=self.source_url),
            "mlflow": resources.MlflowResource(tracking_uri=services.embedded_tracking_uri(self.settings)),
        }

    def definitions(self) -> dg.Definitions:
        """The planner's definitions on its resources."""
        from platform_assets.planner.definitions import build

        return build(self.settings, self.resources())

    @contextmanager
    def instance(self, folder: Path, storage: str = "sqlite") -> Iterator[dg.DagsterInstance]:
        """A fresh Dagster instance: the repository's dagster.yaml, or the same with its storage in Postgres."""
        import dagster as dg

        folder.mkdir(parents=True)
        text = (ROOT / "dagster.yaml").read_text(encoding="utf-8")
        if storage == "postgres":
            text = _in_postgres(text, _new_database(self.source_url))
        (folder / "dagster.yaml").write_text(text, encoding="utf-8")
        with (
            patch.dict(os.environ, {"PLATFORM_DAGSTER_STORAGE": str(folder)}),
            dg.DagsterInstance.from_config(str(folder)) as it,
        ):
            yield it


@contextmanager
def platform(folder: Path, days: int) -> Iterator[Platform]:
    """A platform that was set up, nothing simulated yet, with a calendar of so many days; stopped after the block."""
    from platform_assets.commands.setup import set_up

    settings = Settings.from_environment({"PLATFORM_HOME": str(folder / "platform")})
    end = START + timedelta(days=days)
    settings = replace(settings, planner_start=START, planner_end=end, planner_minimum_rows=MINIMUM_ROWS)
    with patch.dict(os.environ, {"PLATFORM_DAGSTER_STORAGE": str(folder / "dagster")}):
        set_up(settings)
    try:
        with embedded_postgres.held(settings.postgres_folder):
            yield Platform(settings)
    finally:
        embedded_postgres.stop(settings.postgres_folder)


@contextmanager
def quiet() -> Iterator[None]:
    """Dagster's console is for people; here it would be timed as well. It writes to the standard error's descriptor."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _new_database(url: str) -> str:
    name = f"dagster_{uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return database_url(url, name)


def _in_postgres(dagster_yaml: str, url: str) -> str:
    import yaml

    document = yaml.safe_load(dagster_yaml)
    # Named, because SQLAlchemy's own choice is psycopg 3, whose server-side parameters Dagster's NOTIFY does not survive.
    url = url.replace("postgresql://", "postgresql+psycopg2://", 1)
    return yaml.safe_dump({**document, "storage": {"postgres": {"postgres_url": url}}})
