"""Every check of the planner can pass, and every one can fail."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.core import quality as common_checks
from platform_assets.core.engine import Engine
from platform_assets.planner import quality, sources
from platform_assets.planner.extraction import ExtractedDay

END = datetime(2026, 1, 6, tzinfo=UTC)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "scratch")


def table(folder: Path, name: str, rows: list[dict[str, Any]], schema: pa.Schema | None = None) -> Path:
    path = folder / f"{name}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


@pytest.mark.parametrize(("in_postgres", "read", "kept", "quarantined", "passes"), [
    (10, 10, 8, 2, True), (10, 9, 8, 1, False), (10, 10, 8, 1, False), (9, 10, 8, 2, False), (0, 0, 0, 0, True),
])  # fmt: skip
def test_rows_reconcile_only_when_all_counts_agree(
    in_postgres: int, read: int, kept: int, quarantined: int, passes: bool
) -> None:
    day = ExtractedDay(Path(), Path(), sources.SourceCount(in_postgres, None), read, None)
    assert quality.rows_reconcile(day, kept, quarantined).passed is passes


def test_unique_fails_and_names_the_value(engine: Engine, tmp_path: Path) -> None:
    once = table(tmp_path, "once", [{"event_id": "a"}, {"event_id": "b"}])
    twice = table(tmp_path, "twice", [{"event_id": "a"}, {"event_id": "a"}])
    assert common_checks.unique(engine, "unique_event_ids", [once], "event_id").passed
    outcome = common_checks.unique(engine, "unique_event_ids", [twice], "event_id")
    assert not outcome.passed
    assert "'a'" in outcome.reason


@pytest.mark.parametrize("missing", ["policy_version_id", "request_id", "variant_id", "experiment_id"])
def test_required_metadata_fails_for_each_missing_value(engine: Engine, tmp_path: Path, missing: str) -> None:
    row = {"plan_id": "p", "policy_version_id": "v", "request_id": "q", "experiment_id": "x", "variant_id": "a"}
    schema = pa.schema([(name, pa.string()) for name in row])
    assert quality.required_metadata(engine, table(tmp_path, "good", [row], schema)).passed
    outcome = quality.required_metadata(engine, table(tmp_path, "bad", [{**row, missing: None}], schema))
    assert not outcome.passed
    assert missing in outcome.reason


def test_the_quarantine_share_counts_refusals_and_not_resent_events() -> None:
    assert quality.quarantine_share(1000, {"clock_skew": 50, "resent_event": 900}, 0.05).passed
    assert not quality.quarantine_share(1000, {"clock_skew": 70}, 0.05).passed
    assert quality.quarantine_share(0, {}, 0.05).passed


def test_a_small_day_fails_only_when_its_share_is_credibly_too_high() -> None:
    assert quality.quarantine_share(27, {"clock_skew": 2}, 0.05).passed
    assert not quality.quarantine_share(27, {"clock_skew": 7}, 0.05).passed


def test_the_lower_bound_covers_the_true_share_as_often_as_it_says() -> None:
    chance = random.Random(1)
    draws = [sum(chance.random() < 0.05 for _ in range(400)) for _ in range(2_000)]
    too_high = sum(common_checks.wilson_lower_bound(part, 400) > 0.05 for part in draws)
    assert too_high / len(draws) < 0.02


@pytest.mark.parametrize(
    ("newest", "passes"), [(END - timedelta(hours=1), True), (END - timedelta(hours=7), False), (None, False)]
)
def test_freshness_warns_when_the_log_ends_before_the_day(newest: datetime | None, passes: bool) -> None:
    outcome = quality.freshness(END, newest, timedelta(hours=6))
    assert outcome.passed is passes
    assert outcome.warning


KNOWN = (
    "household_valid_from", "household_recorded_at", "constraints_valid_from", "constraints_recorded_at",
    "pantry_valid_from", "pantry_recorded_at", "recent_accepted_at", "recent_recorded_at",
)  # fmt: skip


@pytest.mark.parametrize("leaking", KNOWN)
def test_the_leak_check_fails_for_every_input_that_was_known_later(
    engine: Engine, tmp_path: Path, leaking: str
) -> None:
    row = {"generated_at": END, **dict.fromkeys(KNOWN, END)}
    schema = pa.schema([(name, pa.timestamp("us", tz="UTC")) for name in row])
    assert quality.no_leak(
        engine, table(tmp_path, "honest", [row, {**row, "recent_recorded_at": None}], schema), ()
    ).passed
    leak = table(tmp_path, "leak", [row, {**row, leaking: END + timedelta(microseconds=1)}], schema)
    outcome = quality.no_leak(engine, leak, ())
    assert not outcome.passed
    assert leaking in outcome.reason


def test_the_leak_check_says_what_it_cannot_judge(engine: Engine, tmp_path: Path) -> None:
    row = {"generated_at": END, **dict.fromkeys(KNOWN, END)}
    assert "household_versions" in quality.no_leak(engine, table(tmp_path, "t", [row]), ("household_versions",)).reason


def test_join_coverage_falls_with_missing_households_constraints_and_pantries(engine: Engine, tmp_path: Path) -> None:
    joined = {"constraints": {"budget": 1.0}, "pantry": {"items": [{"name": "rice"}]}}
    schema = pa.schema(
        [
            ("constraints", pa.struct([("budget", pa.float64())])),
            ("pantry", pa.struct([("items", pa.list_(pa.struct([("name", pa.string())])))])),
        ]
    )
    nobody = table(tmp_path, "nobody", [], pa.schema([("reason", pa.string())]))
    stranger = table(tmp_path, "stranger", [{"reason": "unknown_household"}])
    full = table(tmp_path, "full", [joined] * 9, schema)
    assert quality.join_coverage(engine, full, nobody, 0.95).passed
    assert not quality.join_coverage(engine, full, stranger, 0.95).passed
    for name, hole in (("c", {**joined, "constraints": None}), ("p", {**joined, "pantry": {"items": None}})):
        assert not quality.join_coverage(
            engine, table(tmp_path, name, [joined] * 9 + [hole], schema), nobody, 0.95
        ).passed


def test_plans_reconcile_fails_when_an_acceptance_is_lost(engine: Engine, tmp_path: Path) -> None:
    def rows(name: str, count: int) -> Path:
        return table(tmp_path, name, [{"plan_id": "p"}] * count, pa.schema([("plan_id", pa.string())]))

    assert quality.plans_reconcile(engine, rows("a", 3), rows("b", 2), rows("c", 1)).passed
    assert not quality.plans_reconcile(engine, rows("d", 4), rows("e", 2), rows("f", 1)).passed


def test_split_disjoint_fails_and_names_the_household(engine: Engine, tmp_path: Path) -> None:
    def row(household: str, split: str) -> dict:
        return {"input": {"household": {"id": household}}, "metadata": {"split": split}}

    apart = table(tmp_path, "apart", [row("a", "train"), row("b", "validation"), row("a", "train")])
    both = table(tmp_path, "both", [row("a", "train"), row("a", "validation")])
    assert quality.split_disjoint(engine, apart).passed
    assert "'a'" in quality.split_disjoint(engine, both).reason
    assert not quality.split_disjoint(engine, both).passed


def test_not_null_and_minimum_rows_can_fail(engine: Engine, tmp_path: Path) -> None:
    schema = pa.schema([("input", pa.struct([("household", pa.struct([("id", pa.string())]))]))])
    good = table(tmp_path, "good", [{"input": {"household": {"id": "a"}}}], schema)
    bad = table(
        tmp_path, "bad", [{"input": {"household": {"id": None}}}, {"input": {"household": {"id": "a"}}}], schema
    )
    assert common_checks.not_null(engine, "required_not_null", [good], ["input.household.id"]).passed
    assert not common_checks.not_null(engine, "required_not_null", [bad], ["input.household.id"]).passed
    assert common_checks.minimum_rows("minimum_rows", 100, 100).passed
    assert not common_checks.minimum_rows("minimum_rows", 99, 100).passed


def test_a_changed_schema_fails_unless_its_version_is_raised() -> None:
    before = {"schema_version": 1, "fields": [{"name": "input", "type": "struct"}]}
    changed = {"schema_version": 1, "fields": [{"name": "input", "type": "string"}]}
    assert quality.schema_unchanged(before, None).passed
    assert quality.schema_unchanged(before, before).passed
    assert not quality.schema_unchanged(changed, before).passed
    assert quality.schema_unchanged({**changed, "schema_version": 2}, before).passed
