"""Which version of a recipe counts at a moment, against a slow, obvious oracle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.planner import schemas
from platform_assets.planner.catalogue import RECIPES, Catalogue
from platform_assets_tests.planner.plan_samples import steady

START = datetime(2026, 1, 1, tzinfo=UTC)


def version(key: str, valid: int, recorded: int, minutes: int = 20) -> dict[str, Any]:
    """A row of recipes.parquet; times in hours from the start."""
    return {
        "id": key, "title": key, "cuisine": "thai", "main_protein": "tofu", "tags": [], "allergens": [], "diets": None,
        "ingredients": [{"name": "rice", "quantity": 100.0, "unit": "g", "staple": False, "perishable": False}],
        "prep_time_min": minutes, "cost_per_serving": 1.0, "servings": 2,
        "valid_from": START + timedelta(hours=valid), "recorded_at": START + timedelta(hours=recorded),
    }  # fmt: skip


hours = st.integers(0, 12)
keyed = st.tuples(st.sampled_from("abc"), hours, hours)
# The key of the table: (id, valid_from, recorded_at). The minutes tell versions apart.
versions = st.lists(keyed, unique=True, max_size=20).map(
    lambda keys: [version(*key, minutes=number) for number, key in enumerate(keys)]
)


def slow_as_of(rows: list[dict[str, Any]], moment: datetime) -> dict[str, int]:
    """Id -> minutes of the winner."""
    visible = [row for row in rows if row["valid_from"] <= moment and row["recorded_at"] <= moment]
    winners = {}
    for key in {row["id"] for row in visible}:
        own = [row for row in visible if row["id"] == key]
        winners[key] = max(own, key=lambda row: (row["valid_from"], row["recorded_at"]))["prep_time_min"]
    return winners


@steady
@given(versions, st.lists(st.integers(-1, 13), min_size=1, max_size=6))
def test_the_catalogue_of_a_moment_equals_the_oracles(rows: list[dict[str, Any]], moments: list[int]) -> None:
    catalogue = Catalogue(rows)
    for hour in moments:
        moment = START + timedelta(hours=hour)
        found = catalogue.as_of(moment)
        assert {key: recipe.prep_time_min for key, recipe in found.items()} == slow_as_of(rows, moment)
        assert list(found) == sorted(found)


@steady
@given(versions)
def test_the_newest_catalogue_is_that_of_the_end_of_time(rows: list[dict[str, Any]]) -> None:
    latest = Catalogue(rows).latest
    assert {key: recipe.prep_time_min for key, recipe in latest.items()} == slow_as_of(rows, START + timedelta(days=9))


@steady
@given(versions, st.randoms())
def test_the_order_of_rows_does_not_matter(rows: list[dict[str, Any]], chance: Any) -> None:
    shuffled = list(rows)
    chance.shuffle(shuffled)
    assert dict(Catalogue(shuffled).latest) == dict(Catalogue(rows).latest)


def test_a_version_that_is_valid_early_but_known_late_counts_once_it_is_known() -> None:
    catalogue = Catalogue([version("a", 0, 0, 10), version("a", 2, 8, 20), version("a", 1, 9, 30)])
    minutes = [catalogue.as_of(START + timedelta(hours=hour))["a"].prep_time_min for hour in (0, 7, 8, 9)]
    assert minutes == [10, 10, 20, 20]


def test_a_moment_is_answered_from_memory_while_nothing_changed() -> None:
    catalogue = Catalogue([version("a", 0, 0), version("a", 5, 5)])
    assert catalogue.as_of(START + timedelta(hours=1)) is catalogue.as_of(START + timedelta(hours=4))


def test_an_empty_catalogue_holds_nothing() -> None:
    assert dict(Catalogue([]).latest) == {}


def test_the_catalogue_reads_what_the_week_wrote(tmp_path: Path) -> None:
    rows = [{**version("a", 0, 0), "diets": ["vegan"]}]
    pq.write_table(pa.Table.from_pylist(rows, schema=schemas.RECIPES), tmp_path / RECIPES)
    found = Catalogue.read(tmp_path / RECIPES).latest["a"]
    assert found.diets == ("vegan",)
    assert found.ingredients[0].quantity == 100.0


@steady
@given(versions)
def test_the_first_version_of_a_recipe_is_the_one_that_was_known_first(rows: list[dict[str, Any]]) -> None:
    def known(row: dict[str, Any]) -> tuple[datetime, datetime, datetime]:
        return max(row["valid_from"], row["recorded_at"]), row["valid_from"], row["recorded_at"]

    expected = {key: min((row for row in rows if row["id"] == key), key=known) for key in {row["id"] for row in rows}}
    found = Catalogue(rows).first
    assert {key: each.prep_time_min for key, each in found.items()} == {
        key: row["prep_time_min"] for key, row in expected.items()
    }
