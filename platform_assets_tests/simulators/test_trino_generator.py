"""The generated log: what was asked for is there, what was planted is in the rows, and every format says the same."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import MISSING, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from platform_assets.simulators.trino_cluster import SAMPLE, Scenario, SimulatorError
from platform_assets.simulators.trino_cluster.__main__ import main
from platform_assets.simulators.trino_cluster.costs import TERMS, read_law, term_rows
from platform_assets.simulators.trino_cluster.generator import Generator
from platform_assets.simulators.trino_cluster.layout import RESOURCE_ERRORS, SCHEMA, created
from platform_assets.simulators.trino_cluster.postgres_table import copy_statement, create_table, csv_rows
from platform_assets.simulators.trino_cluster.scenario import Recording
from platform_assets.simulators.trino_cluster.writers import check, write_log
from platform_assets.simulators.trino_cluster.writing import Statement, Traits

SMALL = Scenario(4_000, days=14)
MANY = Scenario(40_000, days=44)


def read(folder: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("queries_*.parquet"))])


def write(scenario: Scenario, folder: Path, format: str = "parquet") -> dict:
    return write_log(drawn(scenario), folder, format, folder / "truth")


@lru_cache
def drawn(scenario: Scenario) -> Generator:
    return Generator(scenario, read_law(SAMPLE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    write(MANY, folder)
    return folder


@pytest.fixture(scope="module")
def facts(folder: Path) -> dict:
    return json.loads((folder / "truth" / "truth.json").read_text())


@pytest.fixture(scope="module")
def log(folder: Path) -> pd.DataFrame:
    frame = read(folder).to_pandas()
    planted = pq.read_table(folder / "truth" / "planted.parquet").to_pandas()
    assert frame["query_id"].tolist() == planted["query_id"].tolist()
    frame["day"] = [created(name) // 86_400 for name in frame["query_id"]]
    frame["day"] -= frame["day"].min()
    return pd.concat([frame, planted.drop(columns="query_id")], axis=1)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    write(SMALL, folder)
    return folder


def test_exactly_the_rows_asked_for_are_written_in_order_under_identifiers_of_their_own(log: pd.DataFrame) -> None:
    assert len(log) == MANY.rows
    assert log["query_id"].is_unique
    moments = [created(name) for name in log["query_id"]]
    assert moments == sorted(moments)
    assert log["day"].nunique() == MANY.days


def test_the_share_of_heavy_queries_is_the_one_asked_for(log: pd.DataFrame, facts: dict) -> None:
    resources = log["error_code"].isin(RESOURCE_ERRORS)
    heavy = (log["cpu_time_millis"] >= 300_000) | (log["peak_memory_bytes"] > 10 * 2**30) | resources
    assert (heavy == log["is_heavy"]).mean() > 0.9999
    assert heavy.mean() == pytest.approx(MANY.heavy_share, rel=0.2)
    assert facts["heavy"] == int(log["is_heavy"].sum())
    assert sum(facts["heavy_by_day"]) == facts["heavy"]


def test_measured_costs_scatter_around_the_planted_ones_with_the_planted_noise(log: pd.DataFrame, facts: dict) -> None:
    done = log[log["error_code"].isna() & (log["cpu_time_millis"] > 1_000) & (log["mean_log_cpu"] > np.log(5))]
    left = np.log(done["cpu_time_millis"] / 1_000) - done["mean_log_cpu"]
    assert left.mean() == pytest.approx(0, abs=0.05)
    assert left.std() == pytest.approx(facts["noise"]["cpu"], rel=0.1)


def test_the_expected_cost_is_the_law_applied_to_what_the_truth_tells(log: pd.DataFrame, facts: dict) -> None:
    law = facts["law"]["cpu"]
    row = log[log["family"].eq("pricing_summary")].iloc[0]
    size = next(s["size"] for s in facts["schemas"] if (s["catalog"], s["schema"]) == (row["catalog"], row["schema"]))
    user = next(u for u in facts["users"] if u["user"] == row["user"])
    whole = 2_400
    expected = law["families"]["pricing_summary"] + law["terms"]["log_size"] * np.log(size)
    expected += (
        law["terms"]["log_days"] * np.log(min(row["days"], whole) / whole) + law["terms"]["forgot"] * row["forgot"]
    )
    expected += user["log_factor"] + facts["scale"]["cpu"]
    expected += facts["constants"]["GROWTH_PER_30_DAYS"] * row["day"] / 30
    assert row["mean_log_cpu"] == pytest.approx(expected, abs=1e-4)


def test_heaviness_follows_from_parameters_that_the_template_alone_does_not_tell(log: Any) -> None:
    """The best anyone can know against family alone, and against the rule on length and joins."""
    work = log[~log["error_code"].eq("USER_CANCELED")]
    heavy = work["is_heavy"].to_numpy()
    best = roc_auc_score(heavy, work["heavy_probability"])
    by_family = work.groupby("family")["is_heavy"].transform("mean")
    rule = (work["query"].str.len() > 2_000) | (work["joins"] > 3)
    assert best > 0.97
    assert roc_auc_score(heavy, by_family) < best - 0.03
    assert roc_auc_score(heavy, rule.astype(float)) < best - 0.15
    mixed = work.groupby("family")["is_heavy"].agg(["mean", "sum"])
    assert mixed.loc[mixed["mean"].between(0.01, 0.8), "sum"].sum() > 0.6 * heavy.sum()


def test_wider_periods_and_missing_filters_are_heavier(log: pd.DataFrame) -> None:
    work = log[
        log["family"].isin(["large_orders", "shipping_priority", "lineitem_plain", "lineitem_top", "lineitem_having"])
    ]
    wide = work["days"] >= 365
    assert work.loc[wide, "is_heavy"].mean() > 3 * work.loc[~wide, "is_heavy"].mean()


def test_texts_repeat_and_dashboards_repeat_most(log: pd.DataFrame) -> None:
    again = log.duplicated(["user", "query"])
    assert 0.3 < again.mean() < 0.9
    dashboards = log["source"].eq("superset")
    assert again[dashboards].mean() > again[log["source"].eq("datagrip")].mean()


def test_working_days_and_office_hours_are_busier(log: pd.DataFrame) -> None:
    moments = pd.to_datetime(log["query_id"].str[:15], format="%Y%m%d_%H%M%S")
    by_weekday = log.groupby(moments.dt.dayofweek)["day"].agg(lambda days: len(days) / days.nunique())
    assert by_weekday.loc[5:].max() < 0.5 * by_weekday.loc[:4].min()
    hours = moments[log["source"].eq("datagrip")].dt.hour
    assert hours.between(8, 17).mean() > 0.8


def test_new_users_and_new_templates_appear_and_others_leave(log: Any, facts: dict) -> None:
    first, last = log.groupby("user")["day"].min(), log.groupby("user")["day"].max()
    assert (first > 7).sum() >= 5
    assert (last < MANY.days - 7).sum() >= 2
    born = {user["user"]: user["born_day"] for user in facts["users"]}
    assert all(first[user] >= born[user] for user in first.index if list(born).count(user) == 1)
    shapes = log[log["template"] != 0].groupby("template")["day"].min()
    assert (shapes > 14).mean() > 0.2


def test_every_outcome_occurs_and_ends_where_its_limit_is(log: pd.DataFrame, facts: dict) -> None:
    counts = Counter(log["error_code"].fillna("FINISHED"))
    assert dict(counts) == facts["outcomes"]
    for code in (*RESOURCE_ERRORS, "USER_CANCELED", "SYNTAX_ERROR"):
        assert counts[code] > 0, code
    assert log["cpu_time_millis"].max() <= 1_000 * facts["constants"]["CPU_LIMIT_SECONDS"]
    assert log["peak_memory_bytes"].max() <= facts["constants"]["MEMORY_LIMIT_BYTES"]


def test_without_season_drift_and_noise_those_effects_are_absent(tmp_path: Path) -> None:
    scenario = replace(SMALL, season=0, drift=0, noise=0, user_spread=0)
    facts = write(scenario, tmp_path)
    planted = pq.read_table(tmp_path / "truth" / "planted.parquet").to_pandas()
    log = read(tmp_path).to_pandas()
    assert max(facts["rows_by_day"]) - min(facts["rows_by_day"]) <= 1
    assert {user["born_day"] for user in facts["users"]} == {0}
    done = log["error_code"].isna() & (log["cpu_time_millis"] > 1_000)
    assert np.log(log["cpu_time_millis"] / 1_000)[done].to_numpy() == pytest.approx(
        planted["mean_log_cpu"][done].to_numpy(), abs=1e-3
    )


def test_the_same_seed_gives_the_same_rows_and_another_seed_gives_others(small: Path, tmp_path: Path) -> None:
    write_log(Generator(SMALL, read_law(SAMPLE)), tmp_path / "again")
    write(replace(SMALL, seed=8), tmp_path / "other")
    assert read(tmp_path / "again").equals(read(small))
    assert not read(tmp_path / "other").equals(read(small))


def test_json_lines_hold_the_rows_as_the_http_listener_sends_them(small: Path, tmp_path: Path) -> None:
    write(SMALL, tmp_path, "jsonl")
    lines = [json.loads(line) for path in sorted(tmp_path.glob("*.jsonl")) for line in path.read_text().splitlines()]
    rows = read(small).to_pylist()
    assert len(lines) == len(rows)
    for event, row in zip(lines, rows, strict=True):
        assert event["metadata"]["queryId"] == row["query_id"]
        assert event["metadata"]["query"] == row["query"]
        assert event["context"].get("schema") == row["schema"]
        assert event["statistics"]["cpuTime"] * 1_000 == pytest.approx(row["cpu_time_millis"])
        assert event.get("failureInfo", {}).get("errorCode", {}).get("name") == row["error_code"]
        took = pd.Timestamp(event["endTime"]) - pd.Timestamp(event["createTime"])
        assert took.total_seconds() * 1_000 == pytest.approx(row["queued_time_millis"] + row["wall_time_millis"], abs=2)


def test_the_table_script_holds_its_definition_and_the_rows(small: Path, tmp_path: Path) -> None:
    write(SMALL, tmp_path, "table")
    script = (tmp_path / "trino_queries.sql").read_bytes()
    definition = create_table()
    assert script.startswith(definition)
    copies = script[len(definition) :].split(f"{copy_statement()};\n".encode())[1:]
    assert all(copy.endswith(b"\\.\n") for copy in copies)
    options = pa_csv.ConvertOptions(column_types=SCHEMA, strings_can_be_null=True, quoted_strings_can_be_null=False)
    parse = pa_csv.ParseOptions(newlines_in_values=True)
    tables = [
        pa_csv.read_csv(
            pa.py_buffer(copy[:-3]), pa_csv.ReadOptions(column_names=SCHEMA.names), parse, options
        )
        for copy in copies
    ]  # fmt: skip
    assert pa.concat_tables(tables).cast(SCHEMA).to_pylist() == read(small).to_pylist()


def test_a_null_is_an_empty_field_and_an_empty_text_is_quoted() -> None:
    row = {name: None for name in SCHEMA.names} | {"query": 'a "quoted",\ntext', "user": ""}
    row |= {field.name: 0 for field in SCHEMA if not field.nullable and pa.types.is_integer(field.type)}
    row = {field.name: row[field.name] if field.nullable or row[field.name] is not None else "x" for field in SCHEMA}
    text = csv_rows(pa.Table.from_pylist([row], schema=SCHEMA)).decode()
    assert text.startswith('"x","a ""quoted"",\ntext",,,"x","",,')


def test_one_day_can_be_read_alone_by_the_identifiers_prefix(folder: Path, facts: dict) -> None:
    with duckdb.connect() as connection:
        query = f"SELECT count(*) FROM '{folder}/*.parquet' WHERE query_id LIKE '20250610_%'"
        assert connection.execute(query).fetchone() == (facts["rows_by_day"][8],)


def test_a_log_is_not_written_over_another_unless_asked(small: Path, tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match="use --replace"):
        check(small, "parquet", replace=False)
    (tmp_path / "queries_20250602.jsonl").write_text("")
    check(tmp_path, "parquet", replace=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("command", "documented"), [("generate", Scenario), ("record", Recording)])
def test_the_help_of_a_command_tells_every_default(
    command: str, documented: Any, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    told = {text.split()[0]: text for text in capsys.readouterr().out.split("\n  --")[1:]}
    defaults = {field.name: field.default for field in fields(documented) if field.default is not MISSING}
    assert {name for name in defaults if "(default" not in told[name]} == set()
    shown = {name: default for name, default in defaults.items() if default is not None}
    assert {name for name, default in shown.items() if f"(default {default})" not in told[name]} == set()
    if command == "generate":
        assert "aimed at over the whole log" in told["heavy_share"]


def test_the_command_writes_a_log_and_says_how_much_of_it_is_heavy(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = ["generate", "--output", str(tmp_path), "--rows", "500", "--days", "5", "--heavy_share", "0.05"]
    assert main(command) == 0
    assert "% heavy" in capsys.readouterr().out
    assert read(tmp_path).num_rows == 500
    assert main([*command, "--recording", str(tmp_path)]) == 1
    assert "use --replace" in capsys.readouterr().err
    assert main([*command, "--recording", str(tmp_path), "--replace"]) == 1
    assert "holds no costs.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"rows": 3}, "rows is 3; write a number from 14"),
        ({"heavy_share": 0.9}, "from 0.001 to 0.5"),
        ({"users": 2}, "from 6"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused_with_a_remedy(change: dict, remedy: str) -> None:
    with pytest.raises(SimulatorError, match=remedy):
        replace(SMALL, **change)


def test_statements_that_read_no_data_have_no_traits() -> None:
    ping, scan = (
        Statement("SELECT 1", "constant", Traits()),
        Statement("SELECT", "group_all", Traits(groups=3, days=240)),
    )
    nothing, found = term_rows([ping, scan], [0.1, 0.5])
    assert not nothing.any()
    told = dict(zip(TERMS, found, strict=True))
    assert told["log_days"] == pytest.approx(np.log(0.1))
    assert told["log_size"] == pytest.approx(np.log(0.5))
    assert (told["thousands"], told["tenth"], told["every_row"]) == (0, 1, 1)
