"""One evaluated week's verdict: judged from published scores, kept for good, and what it makes of the version.

A verdict that is on record stands: the same scores judged again give its document, whatever was published again upstream
meanwhile. What does not belong here: judging (`planner.judgement`), who may be judged (`planner.policy_record`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from platform_assets.core.gate import Thresholds, Verdict
from platform_assets.core.lake import Address, Lineage, Publication, Revision
from platform_assets.core.quality import Outcome
from platform_assets.core.registry import PolicyVersion, Registry
from platform_assets.core.step import Step
from platform_assets.planner import judgement, policy_record, registration, replay

DOCUMENT = "verdict.json"


@dataclass(frozen=True)
class Judged:
    """What a week's verdict became; `document` is the one on record."""

    publication: Publication
    scores: Path
    verdict: Verdict
    document: Mapping[str, Any]
    version: PolicyVersion
    outcomes: Sequence[Outcome]


@dataclass
class WeeklyVerdict:
    """`scores` are the published replay, `evaluated` the date that names its week."""

    step: Step
    scores: Revision
    evaluated: date
    address: Address
    thresholds: Thresholds

    def produce(self) -> Judged:
        """Judge, publish, record, tag; raises OtherBaseline, or Conflict with a verdict that is on record."""
        registry, before = Registry(self.step.warehouse), self.step.lake.current(self.address)
        candidate, baseline = (self._compared[side]["id"] for side in ("candidate", "baseline"))
        path = self.step.lake.fetch(self.scores, replay.SCORES, self.step.folder, verify=True)
        verdict = judgement.judge(path, candidate, baseline, self.thresholds, self._digests())
        known = policy_record.on_record(registry.verdicts(candidate), self.evaluated, self.scores.digest)
        # Before anything is published: the lake must not show a verdict that Postgres will refuse.
        if known is None:
            versions = registry.versions(registration.POLICY)
            policy_record.require_active_baseline(versions, self._compared)
            policy_record.require_as_served(versions, self._compared)
        document = policy_record.settle(known, verdict)
        publication = self._publish(document, before)
        version = registry.record_verdict(candidate, document, self.evaluated, self.scores.digest)
        policy_record.tag(self.step.tracking, version)
        agreement = registration.judge_agreement(self.step.tracking, self.step.warehouse, "registries_agree")
        outcomes = [agreement, policy_record.judge(verdict)]
        return Judged(publication, path, verdict, document, version, outcomes)

    @property
    def _compared(self) -> Mapping[str, Any]:
        return self.scores.lineage.details

    def _digests(self) -> dict[str, str]:
        """Of the scores and of all that they were made from."""
        inputs = (*self.scores.lineage.inputs, self.scores.as_input())
        return {f"{item.asset}/{item.partition}": item.digest for item in inputs}

    def _publish(self, document: Mapping[str, Any], before: Revision | None) -> Publication:
        file = self.step.folder / DOCUMENT
        file.write_text(json.dumps(document, sort_keys=True, separators=(",", ":")), encoding="utf-8")
        sides = {name: self._compared[name] for name in ("candidate", "baseline")}
        lineage = Lineage(
            inputs=(self.scores.as_input(),), code_version=judgement.CODE_VERSION, run_id=self.step.run_id,
            details={"outcome": document["outcome"], **sides},
        )  # fmt: skip
        return self.step.lake.publish_files(self.address, {DOCUMENT: file}, lineage, expected=before)
