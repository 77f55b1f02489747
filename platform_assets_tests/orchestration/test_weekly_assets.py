"""The asset of a verdict: how it is declared for any pipeline, and which replays it never hands to a judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.core.lake import Lake, Lineage
from platform_assets.core.quality import Outcome, to_details
from platform_assets.core.settings import Settings
from platform_assets.orchestration import weekly_assets
from platform_assets.orchestration.checks import Check
from platform_assets.orchestration.weekly_assets import ReplayAsset, address

SCORES, VERDICT = dg.AssetKey(["guess", "scores"]), dg.AssetKey(["guess", "policy_version"])
REPLAY = ReplayAsset(SCORES, (Check("rows_reconcile", "All rows."), Check("drift", "As before.", blocking=False)))
WEEKLY = dg.WeeklyPartitionsDefinition("2026-01-05", day_offset=1, timezone="UTC")
WEEK = "2026-01-05"


def published(lake: Lake, folder: Path, *outcomes: Outcome) -> Any:
    pq.write_table(pa.table({"hit": [1.0]}), folder / "scores.parquet")
    lineage = Lineage(inputs=(), code_version="1", run_id="a run", details={"checks": to_details(outcomes)})
    files = {"scores.parquet": folder / "scores.parquet"}
    return lake.publish_table(address(SCORES, WEEK), files, lineage).revision


@pytest.mark.parametrize("single_writer", ["0", "1"])
def test_a_verdict_reads_its_replay_alone_and_needs_every_service(single_writer: str) -> None:
    settings = Settings.from_environment({"PLATFORM_LAKE_SINGLE_WRITER": single_writer})
    asset = weekly_assets.verdict_asset(
        VERDICT, REPLAY, WEEKLY, settings, lambda *each: pytest.fail("unasked"), owners=[], description="The gate."
    )
    spec = asset.specs_by_key[VERDICT]
    assert ([dep.asset_key for dep in spec.deps], spec.description, spec.group_name) == ([SCORES], "The gate.", "guess")
    assert asset.required_resource_keys >= {"lake", "engine", "mlflow", "warehouse"}
    assert {each.name for each in asset.check_specs} == {each.name for each in weekly_assets.VERDICT_CHECKS}
    assert spec.automation_condition is not None
    assert asset.op.pool == ("lake_single_writer" if single_writer == "1" else None)


def test_scores_are_judged_once_their_blocking_checks_passed(tmp_path: Path) -> None:
    lake, passed, drifted = Lake(tmp_path / "lake"), Outcome("rows_reconcile", True, ""), Outcome("drift", False, "")
    with pytest.raises(dg.Failure, match="policy version 2026-01-05 needs guess/scores of 2026-01-05"):
        REPLAY.require(lake, WEEK)
    scores = published(lake, tmp_path, passed, drifted)
    assert REPLAY.require(lake, WEEK).digest == scores.digest


@pytest.mark.parametrize("outcomes", [(), (Outcome("rows_reconcile", False, "9 of 10"),)])
def test_scores_that_failed_a_blocking_check_or_never_had_it_are_not_judged(
    outcomes: tuple[Outcome, ...], tmp_path: Path
) -> None:
    lake = Lake(tmp_path / "lake")
    published(lake, tmp_path, *outcomes)
    with pytest.raises(dg.Failure, match=r"guess/scores of 2026-01-05 failed a blocking check \(rows_reconcile"):
        REPLAY.require(lake, WEEK)
