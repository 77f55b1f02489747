"""The week's catalogue: every version known by its end, unreadable ones refused by name, from a real Postgres."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from platform_assets.core.warehouse import Warehouse
from platform_assets.planner import recipes
from platform_assets.planner.catalogue import Catalogue

FIRST, SECOND, LAST = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 5, 9))
BREAD = [{"name": "bread", "quantity": 100, "unit": "g", "staple": False, "perishable": True}]


def insert(url: str, key: str, recorded_at: datetime, ingredients: Any = BREAD, price: float | None = 2.0) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO public.recipes (id, title, ingredients, prep_time_min, cost_per_serving, servings, valid_from,"
            " recorded_at) VALUES (%s, 'Toast', %s, 10, %s, 2, %s, %s)",
            [key, json.dumps(ingredients), price, recorded_at, recorded_at],
        )


def test_a_week_holds_what_was_recorded_before_its_end_and_reads_as_of_any_moment(
    postgres_url: str, tmp_path: Path
) -> None:
    insert(postgres_url, "r1", FIRST)
    insert(postgres_url, "r1", SECOND, price=1.5)
    insert(postgres_url, "r2", LAST)
    found = recipes.extract(Warehouse(postgres_url), LAST, tmp_path)
    assert found.rows == 2
    catalogue = Catalogue.read(found.path)
    assert [catalogue.as_of(moment)["r1"].cost_per_serving for moment in (FIRST, SECOND)] == [2.0, 1.5]
    assert catalogue.first["r1"].cost_per_serving == 2.0
    assert set(catalogue.latest) == {"r1"}
    assert recipes.judge(found).passed


def test_a_version_that_cannot_be_read_is_refused_by_name_and_the_rest_serves(
    postgres_url: str, tmp_path: Path
) -> None:
    for number in range(60):
        insert(postgres_url, f"r{number}", FIRST)
    insert(postgres_url, "broken", FIRST, ingredients={"bread": 1})
    insert(postgres_url, "dear", FIRST, price=float("nan"))
    insert(postgres_url, "owed", FIRST, ingredients=[{**BREAD[0], "quantity": -1}])
    found = recipes.extract(Warehouse(postgres_url), LAST, tmp_path)
    assert found.rows == 60
    assert {item["id"]: item["rule"] for item in found.refused} == {
        "broken": "malformed_ingredients",
        "dear": "invalid_cost_per_serving",
        "owed": "malformed_ingredients",
    }
    outcome = recipes.judge(found)
    assert (outcome.passed, outcome.warning) == (False, True)
    assert "broken" in outcome.reason


def test_a_catalogue_that_is_mostly_unreadable_or_empty_stops_the_week(postgres_url: str, tmp_path: Path) -> None:
    outcome = recipes.judge(recipes.extract(Warehouse(postgres_url), LAST, tmp_path))
    assert (outcome.passed, outcome.warning) == (False, False)
    insert(postgres_url, "r1", FIRST)
    insert(postgres_url, "r2", FIRST, price=None)
    outcome = recipes.judge(recipes.extract(Warehouse(postgres_url), LAST, tmp_path))
    assert (outcome.passed, outcome.warning) == (False, False)
    assert "r2" in outcome.reason
