"""The table of features, and those of a query's context."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.query_predictor import feature_table, features
from platform_assets.query_predictor.context_features import Context, context_features
from platform_assets_tests.query_predictor import recorded_features

GROUPS = {"text": 15, "tables and joins": 12, "where": 10, "aggregation and windows": 8, "syntax tree": 10, "context": 8,
          "query type": 5, "set operations": 4, "nulls": 6}  # fmt: skip
HISTORY = {"history of the user": 6, "history of the catalog": 4, "history of the schema": 3,
           "history of the template": 3, "cold start": 1}  # fmt: skip
MONDAY_MIDNIGHT = datetime(2026, 1, 5, tzinfo=UTC)


def test_there_are_78_base_and_17_historical_features_in_their_groups() -> None:
    for table, groups in ((features.BASE_FEATURES, GROUPS), (features.HISTORICAL_FEATURES, HISTORY)):
        found = [feature.group for feature in table]
        assert {group: found.count(group) for group in found} == groups
    assert (sum(GROUPS.values()), sum(HISTORY.values())) == (78, 17)


@pytest.mark.parametrize("feature", [*features.BASE_FEATURES, *features.HISTORICAL_FEATURES], ids=lambda f: f.name)
def test_every_feature_has_a_name_a_unit_and_a_sentence(feature: features.Feature) -> None:
    assert feature.name.isidentifier()
    assert feature.name == feature.name.lower()
    assert feature.unit
    assert feature.definition.endswith(".")


def test_features_words_and_templates_are_what_was_recorded_under_the_version_of_their_definitions() -> None:
    was, found = recorded_features.recorded(), recorded_features.made()
    changed = [name for name in was if found.get(name) != was[name]]
    assert found.keys() == was.keys()
    assert not changed, (
        f"{', '.join(changed)}: other values under version {found['definitions_version']} of the definitions. Models and arrays made "
        "before would be used with them: raise features.DEFINITIONS_VERSION and record again "
        "(python -m platform_assets_tests.query_predictor.recorded_features)"
    )


def test_every_feature_is_recorded_with_different_values() -> None:
    was = recorded_features.recorded()
    assert [name for name in (*features.BASE_NAMES, *features.HISTORICAL_NAMES) if len(set(was[name])) < 2] == []


def test_the_documented_table_is_the_codes() -> None:
    page = Path(__file__).parents[2] / "docs" / "query-predictor-features.md"
    assert page.read_text(encoding="utf-8") == feature_table.markdown()
    assert all(
        f"| `{each.name}` | {each.unit} | {each.definition} |" in page.read_text() for each in features.BASE_FEATURES
    )


def named(context: Context) -> dict[str, float]:
    return dict(zip((f.name for f in features.CONTEXT_FEATURES), context_features(context).tolist(), strict=True))


def test_midnight_of_a_monday_is_where_both_turns_begin() -> None:
    found = named(Context(MONDAY_MIDNIGHT))
    assert (found["hour_sine"], found["hour_cosine"], found["weekday_sine"], found["weekday_cosine"]) == (0, 1, 0, 1)


@given(st.datetimes(datetime(1960, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)), st.integers(-12, 12))
def test_the_weekday_is_that_of_utc_in_whatever_zone_a_time_is_told(moment: datetime, hours: int) -> None:
    told = moment.astimezone(timezone(timedelta(hours=hours)))
    found = named(Context(told))
    assert found["is_weekend"] == (moment.weekday() >= 5)
    turn = math.atan2(found["weekday_sine"], found["weekday_cosine"]) % math.tau
    assert round(turn / math.tau * 7) % 7 == moment.weekday()
    assert found["hour_sine"] ** 2 + found["hour_cosine"] ** 2 == pytest.approx(1)
    assert np.array_equal(context_features(Context(told)), context_features(Context(moment)))


def test_an_empty_catalog_is_a_missing_one() -> None:
    found = named(Context(MONDAY_MIDNIGHT, "", "sales", "dbt"))
    assert (found["has_catalog"], found["has_schema"], found["client_info_length"]) == (0, 1, 3)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        context_features(Context(datetime(2026, 1, 5)))
