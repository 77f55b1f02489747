"""Settings from the environment: what is taken where nothing is said, and which values are refused."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from platform_assets.core.settings import SettingError, Settings
from platform_assets.simulators.trino_cluster import SAMPLE


def test_the_shipped_log_is_the_source_of_queries_unless_said_otherwise() -> None:
    unset = Settings.from_environment({})
    assert Path(unset.trino_source) == SAMPLE / "queries.parquet"
    assert Path(unset.trino_source).is_file()
    assert (unset.trino_start, unset.trino_end) == (date(2025, 6, 2), date(2025, 8, 4))
    assert unset.trino_thresholds == SAMPLE / "thresholds.json"
    assert json.loads((SAMPLE / "thresholds.json").read_text())["first_days"] == 30
    assert Settings.from_environment({"PLATFORM_TRINO_SOURCE": "", "PLATFORM_TRINO_END": ""}) == unset


def test_a_log_of_your_own_has_an_open_end_and_the_documented_thresholds() -> None:
    own = Settings.from_environment({"PLATFORM_TRINO_SOURCE": "postgresql://reader@trino/log/trino_queries"})
    assert (own.trino_source, own.trino_end) == ("postgresql://reader@trino/log/trino_queries", None)
    assert own.trino_thresholds is None


def test_a_shorter_calendar_of_the_shipped_log_keeps_its_end() -> None:
    later = Settings.from_environment({"PLATFORM_TRINO_START": "2025-06-09"})
    assert (later.trino_start, later.trino_end) == (date(2025, 6, 9), date(2025, 8, 4))
    ended = Settings.from_environment({"PLATFORM_TRINO_END": "2025-07-21"})
    assert (ended.trino_start, ended.trino_end) == (date(2025, 6, 2), date(2025, 7, 21))


@pytest.mark.parametrize("edge", ["START", "END"])
def test_a_date_that_is_none_is_named(edge: str) -> None:
    with pytest.raises(SettingError, match=f"PLATFORM_TRINO_{edge} is 'June'; write a date as YYYY-MM-DD"):
        Settings.from_environment({f"PLATFORM_TRINO_{edge}": "June"})


def test_the_query_predictor_is_trained_every_week_with_the_programs_own_options_unless_said_otherwise() -> None:
    unset = Settings.from_environment({})
    assert (unset.trino_retrain_weeks, unset.trino_training_options) == (1, {})
    assert (unset.trino_gate_rows, unset.trino_gate_templates) == (1000, 250)
    names = ("RETRAIN_WEEKS", "TRAINING_OPTIONS", "GATE_ROWS", "GATE_TEMPLATES")
    assert Settings.from_environment({f"PLATFORM_TRINO_{name}": "" for name in names}) == unset


def test_the_query_predictors_retraining_and_gate_are_read_from_their_own_variables() -> None:
    given = {"RETRAIN_WEEKS": "4", "GATE_ROWS": "1", "GATE_TEMPLATES": "2"}
    found = Settings.from_environment({f"PLATFORM_TRINO_{name}": value for name, value in given.items()})
    assert (found.trino_retrain_weeks, found.trino_gate_rows, found.trino_gate_templates) == (4, 1, 2)
    unset = Settings.from_environment({})
    assert found.retail_retrain_weeks == unset.retail_retrain_weeks
    assert (found.retail_gate_rows, found.retail_gate_customers) == (
        unset.retail_gate_rows,
        unset.retail_gate_customers,
    )


def test_training_options_are_those_of_a_command_line() -> None:
    given = '{"n_estimators": 200, "learning_rate": 0.05, "plots": false, "tree_method": "hist", "costs": ["1", "100"]}'
    found = Settings.from_environment({"PLATFORM_TRINO_TRAINING_OPTIONS": given})
    assert found.trino_training_options == {
        "n_estimators": "200", "learning_rate": "0.05", "plots": "false", "tree_method": "hist", "costs": "1,100",
    }  # fmt: skip
    assert found.retail_training_options == {}


@pytest.mark.parametrize("text", ["max_depth=8", "[8]", "8", '{"max_depth": null}', '{"max_depth": {"least": 1}}'])
def test_training_options_that_are_no_json_of_options_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_environment({"PLATFORM_TRINO_TRAINING_OPTIONS": text})
    assert str(caught.value) == (
        f"PLATFORM_TRINO_TRAINING_OPTIONS is {text!r}; write a JSON object of the program's options, "
        """such as '{"n_estimators": 200, "max_depth": 8}'"""
    )


@pytest.mark.parametrize(("name", "least"), [("RETRAIN_WEEKS", 1), ("GATE_ROWS", 1), ("GATE_TEMPLATES", 2)])
def test_a_number_that_is_none_or_too_small_is_named(name: str, least: int) -> None:
    for text in (str(least - 1), "-4", "1.5", "many"):
        with pytest.raises(SettingError) as caught:
            Settings.from_environment({f"PLATFORM_TRINO_{name}": text})
        assert str(caught.value) == f"PLATFORM_TRINO_{name} is {text!r}; write a whole number of {least} or more"
