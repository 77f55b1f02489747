"""Asset-check factories: from an Outcome to Dagster's specs and results.

Checks are computed inside the asset, per partition, because a separate check in a range run would land without its
partition. What a check means belongs to the pipeline; whether it blocks is said once, in its declaration here.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from platform_assets.core.lake import Revision
from platform_assets.core.quality import Outcome


@dataclass(frozen=True)
class Check:
    """The declaration of a check. `blocking`: a failure stops what is downstream, in this run and by the gates."""

    name: str
    description: str
    blocking: bool = True


def specs(asset: dg.AssetKey, checks: Iterable[Check], partitions: dg.PartitionsDefinition) -> list[dg.AssetCheckSpec]:
    """Check specs with the asset's partitions; without them one result would stand for all days."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # partitions_def is a preview feature, pinned by tests
        return [
            dg.AssetCheckSpec(
                check.name,
                asset=asset,
                description=check.description,
                blocking=check.blocking,
                partitions_def=partitions,
            )
            for check in checks
        ]


def result(asset: dg.AssetKey, outcome: Outcome) -> dg.AssetCheckResult:
    """The check result of a run over one partition."""
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=outcome.name,
        passed=outcome.passed,
        severity=severity(outcome),
        description=outcome.reason,
        metadata=_metadata(outcome),
    )


def evaluation(
    asset: dg.AssetKey, partition: str, outcome: Outcome, blocking: bool, target: dg.EventLogRecord
) -> dg.AssetCheckEvaluation:
    """The check's record for one partition of a range run, aimed at the partition's materialisation."""
    # The target's class is not exported; its serialised form is the public way to it.
    target_data = {
        "__class__": "AssetCheckEvaluationTargetMaterializationData",
        "storage_id": target.storage_id,
        "run_id": target.run_id,
        "timestamp": target.timestamp,
    }
    return dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=outcome.name,
        passed=outcome.passed,
        severity=severity(outcome),
        description=outcome.reason,
        metadata=_metadata(outcome),
        target_materialization_data=dg.deserialize_value(json.dumps(target_data)),  # pyright: ignore[reportArgumentType]
        blocking=blocking,
        partition=partition,
    )


def summary(asset: dg.AssetKey, name: str, outcomes: Mapping[str, Outcome]) -> dg.AssetCheckResult:
    """The one result that Dagster asks of a range run: passed only if every partition passed."""
    failed = {partition: outcome for partition, outcome in outcomes.items() if not outcome.passed}
    hard = any(not outcome.warning for outcome in failed.values())
    reasons = [f"{partition}: {outcome.reason}" for partition, outcome in list(failed.items())[:10]]
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=name,
        passed=not failed,
        severity=dg.AssetCheckSeverity.ERROR if hard or not failed else dg.AssetCheckSeverity.WARN,
        description="; ".join(reasons) or f"passed for all {len(outcomes)} partitions",
        metadata={"partitions": len(outcomes), "failed partitions": ", ".join(failed) or "none"},
    )


def severity(outcome: Outcome) -> dg.AssetCheckSeverity:
    """WARN never blocks, ERROR does where the check is declared blocking."""
    return dg.AssetCheckSeverity.WARN if outcome.warning else dg.AssetCheckSeverity.ERROR


def failed_blocking(details: Mapping[str, Any], checks: Iterable[Check]) -> dict[str, str]:
    """From a manifest's details: the blocking checks that failed, with reasons. A check it does not name counts as failed."""
    recorded = details.get("checks", {})
    failed = {}
    for check in checks:
        outcome = recorded.get(check.name)
        if check.blocking and (outcome is None or not (outcome["passed"] or outcome["warning"])):
            failed[check.name] = outcome["reason"] if outcome else "never evaluated"
    return failed


def lacking(asset: dg.AssetKey, partition: str, revision: Revision | None, checks: Iterable[Check]) -> str:
    """Why a partition cannot be built on, by its manifest, for people; empty if it can."""
    name = f"{asset.to_user_string()} of {partition}"
    if revision is None:
        return f"{name}, which is not published"
    failed = failed_blocking(revision.lineage.details, checks)
    return f"{name}, which failed {', '.join(failed)}" if failed else ""


def _metadata(outcome: Outcome) -> dict[str, Any]:
    return {name: value for name, value in outcome.metadata.items() if value is not None}


def require_passed(asset: dg.AssetKey, partition: str, revision: Revision, checks: Iterable[Check]) -> None:
    """The gate in the asset itself: raises dg.Failure when the partition's recorded blocking checks did not all pass.

    A blocking check stops only its own run; a downstream partition that is materialised by hand would pass it by.
    """
    if failed := failed_blocking(revision.lineage.details, checks):
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise dg.Failure(
            f"{asset.to_user_string()} of {partition} failed a blocking check ({reasons}). "
            "Mend its cause; unless that alone makes a sensor compute the partition again, materialise it.",
            allow_retries=False,
        )
