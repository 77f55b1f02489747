"""`migrate` shows before it applies, and says in one line why a database refuses."""

from __future__ import annotations

import argparse

import psycopg
import pytest

from platform_assets.commands import migrate
from platform_assets.core import migrations
from platform_assets.core.warehouse import WarehouseError


@pytest.fixture
def warehouse(empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PLATFORM_WAREHOUSE_URL", empty_postgres_url)
    return empty_postgres_url


def test_nothing_changes_until_it_is_asked_for(warehouse: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert migrate.run(argparse.Namespace(apply=False)) == 0
    assert "CREATE TABLE" in capsys.readouterr().out
    assert migrations.current_and_head(warehouse)[0] is None
    assert migrate.run(argparse.Namespace(apply=True)) == 0
    current, head = migrations.current_and_head(warehouse)
    assert current == head


def test_a_refusal_names_its_reason_and_leaves_the_database_as_it_was(warehouse: str) -> None:
    with psycopg.connect(warehouse) as connection:
        connection.execute("CREATE TABLE public.households (mine int)")
    with pytest.raises(WarehouseError, match='as it was: relation "households" already exists'):
        migrate.run(argparse.Namespace(apply=True))
    assert migrations.current_and_head(warehouse)[0] is None
