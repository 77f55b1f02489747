"""Preflight names what is missing, each with its remedy, and one broken part does not hide the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from platform_assets.commands.preflight import inspect, inspect_source
from platform_assets.core.settings import Settings
from platform_assets.core.tracking import Tracking
from platform_assets.core.warehouse import database_url


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_migrated_database_has_everything(postgres_url: str) -> None:
    assert list(inspect_source(postgres_url)) == []


def test_missing_tables_and_columns_are_named(postgres_url: str) -> None:
    execute(postgres_url, "ALTER TABLE exp.events DROP COLUMN metrics", "DROP TABLE pantry_snapshots")
    found = "\n".join(inspect_source(postgres_url))
    assert "column exp.events.metrics" in found
    assert "table pantry_snapshots" in found


def test_current_tables_do_instead_of_version_tables_and_both_missing_is_named(postgres_url: str) -> None:
    execute(postgres_url, "DROP TABLE household_versions")
    assert list(inspect_source(postgres_url)) == []
    execute(postgres_url, "DROP TABLE households")
    assert "household_versions (or, without history, households)" in "\n".join(inspect_source(postgres_url))


def test_missing_grants_are_named(postgres_url: str) -> None:
    execute(
        postgres_url,
        "DO $$ BEGIN CREATE ROLE preflight_reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO preflight_reader",
    )
    reader = postgres_url.replace("postgres:@", "preflight_reader:@", 1)
    assert list(inspect_source(reader)) == ["grant for exp.events: GRANT USAGE ON SCHEMA exp TO the platform's user"]
    execute(postgres_url, "GRANT USAGE ON SCHEMA exp TO preflight_reader")
    assert list(inspect_source(reader)) == ["grant for exp.events: GRANT SELECT ON exp.events TO the platform's user"]
    execute(postgres_url, "GRANT SELECT ON exp.events TO preflight_reader")
    assert list(inspect_source(reader)) == []


@pytest.fixture
def settings(postgres_url: str, empty_postgres_url: str, tmp_path: Path) -> Settings:
    tracking = empty_postgres_url.replace("postgresql://", "postgresql+psycopg://", 1)
    Tracking(tracking).create_experiments(tmp_path / "mlflow")
    base = Settings.from_environment({"PLATFORM_HOME": str(tmp_path)})
    return replace(base, warehouse_url=postgres_url, source_url=postgres_url, mlflow_tracking_uri=tracking)


def test_a_complete_platform_has_no_finding(settings: Settings) -> None:
    assert list(inspect(settings)) == []


def test_every_broken_part_is_found_and_no_secret_is_shown(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert settings.source_url
    broken = replace(
        settings,
        source_url="postgresql://reader:topsecret@127.0.0.1:1/app",
        warehouse_url=database_url(settings.source_url, "template1"),
        lake_url=str(tmp_path / "file" / "lake"),
        mlflow_tracking_uri="http://127.0.0.1:1",
    )
    found = "\n".join(inspect(broken))
    assert "127.0.0.1:1/app" in found
    assert "migrate" in found
    assert "lake" in found
    assert "MLflow" in found
    assert "topsecret" not in found
