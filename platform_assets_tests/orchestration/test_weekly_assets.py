"""Weekly assets of any pipeline: how a verdict's is declared, which replays it never judges, what people see of model and verdict."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, cast

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.core.comparison import Comparison, Metric, Thresholds
from platform_assets.core.gate import decide
from platform_assets.core.lake import Lake, Lineage
from platform_assets.core.policy_version import PolicyVersion
from platform_assets.core.quality import Outcome, to_details
from platform_assets.core.settings import Settings
from platform_assets.core.tracking import Run
from platform_assets.core.training_metrics import Shown
from platform_assets.core.verdict import Requirement
from platform_assets.core.weekly_training import Trained
from platform_assets.core.weekly_verdict import Judged
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
    return lake.publish_table(address(SCORES, WEEK), files, lineage)


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
    scores = published(lake, tmp_path, passed, drifted).revision
    assert REPLAY.require(lake, WEEK).digest == scores.digest


@pytest.mark.parametrize("outcomes", [(), (Outcome("rows_reconcile", False, "9 of 10"),)])
def test_scores_that_failed_a_blocking_check_or_never_had_it_are_not_judged(
    outcomes: tuple[Outcome, ...], tmp_path: Path
) -> None:
    lake = Lake(tmp_path / "lake")
    published(lake, tmp_path, *outcomes)
    with pytest.raises(dg.Failure, match=r"guess/scores of 2026-01-05 failed a blocking check \(rows_reconcile"):
        REPLAY.require(lake, WEEK)


def trained(folder: Path, shown: Shown) -> Trained:
    """A model that left a picture."""
    (folder / "importance.png").write_bytes(b"a picture")
    publication = published(Lake(folder / "lake"), folder)
    metrics = {**shown.numbers, **shown.document}
    return Trained(publication, folder, metrics, Run("run", "experiment", cast("Any", None)), "4", 3, [], shown)


def test_a_models_page_begins_with_what_is_asked_first_and_holds_the_rest_as_one_entry(tmp_path: Path) -> None:
    shown = Shown({"auc": 0.9}, {"requirements": "| a table |"}, {f"number_{each}": each for each in range(160)})
    found = weekly_assets.trained(trained(tmp_path, shown)).metadata
    assert list(found)[:6] == ["requirements", "importance", "auc", "mlflow_version", "policy_version", "metrics"]
    assert found["requirements"] == dg.MetadataValue.md("| a table |")
    assert found["metrics"] == dg.MetadataValue.json(dict(shown.document))
    assert not any(name.startswith("number_") for name in found)
    few = weekly_assets.trained(trained(tmp_path, Shown({"val_loss": 0.5}))).metadata
    assert few["val_loss"] == 0.5
    assert "metrics" not in few


@pytest.mark.parametrize("required", [(), (Requirement("recall", "fail", True, "8 of 36 missed", 0.63, 0.98),)])
def test_a_verdicts_page_has_a_table_of_what_is_required_where_anything_is(
    required: tuple[Requirement, ...], tmp_path: Path
) -> None:
    candidate, baseline = ({"hit": np.linspace(low, low + 0.1, 60)} for low in (0.5, 0.4))
    compared = Comparison([str(row) for row in range(60)], [f"c{row % 30}" for row in range(60)], candidate, baseline)
    verdict = decide(
        compared, [Metric("hit", 0.0)], Thresholds("demo", minimum_rows=50, minimum_clusters=20), requirements=required
    )
    version = PolicyVersion("id", "policy", "guess_policy", 3, "guess", "4", {}, "rejected", date(2026, 1, 5), None)
    publication = published(Lake(tmp_path / "lake"), tmp_path)
    judged = Judged(publication, tmp_path, verdict, verdict.document(), version, [])
    found = weekly_assets.judged(judged, {"candidate": {"hit": 0.5}}, "a week").metadata
    if required:
        assert "| recall | fail | 0.6300 | 0.9800 | 8 of 36 missed |" in found["requirements"].value
    else:
        assert "requirements" not in found
