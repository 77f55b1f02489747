"""One evaluated week's verdict: judged from published scores, kept for good, and what it makes of the version.

A verdict that is on record stands: the same scores judged again give its document, whatever was published again upstream
meanwhile. A pipeline's own WeeklyVerdict says with which `Gate`. What does not belong here: judging (`core.gate`, and the
pipeline's choice of metrics and margins), who may be judged (`core.verdict_record`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

from platform_assets.core import compared, verdict_record
from platform_assets.core.comparison import Thresholds
from platform_assets.core.lake import Address, Lineage, Publication, Revision
from platform_assets.core.quality import Outcome
from platform_assets.core.registered_model import RegisteredModel
from platform_assets.core.registry import PolicyVersion, Registry
from platform_assets.core.step import Step
from platform_assets.core.verdict import Verdict

DOCUMENT = "verdict.json"


@dataclass(frozen=True)
class Gate:
    """What of a pipeline a verdict is reached with."""

    model: RegisteredModel
    scores: str
    """The file of the published replay that holds its rows."""
    judge: Callable[[Path, str, str, Thresholds, Mapping[str, str]], Verdict]
    """(scores, the candidate's id, the baseline's, thresholds, digests of the inputs) -> verdict; a pure function."""
    code_version: str
    """Of all that decides a verdict."""
    settings: str
    """Where the defaults of a version, and a replay's summary, say how an answer is computed."""
    deciding: Collection[str]
    """Those of the settings that decide an answer: a replay with others than are served is not judged."""


@dataclass(frozen=True)
class Judged:
    """What a week's verdict became; `document` is the one on record."""

    publication: Publication
    scores: Path
    verdict: Verdict
    document: Mapping[str, Any]
    version: PolicyVersion
    outcomes: Sequence[Outcome]
    note: str = ""
    """Why it is not the active version that was compared with, where it is not; no part of the verdict."""


@dataclass
class WeeklyVerdict:
    """`scores` are the published replay, `evaluated` the date that names its week.

    The details of their lineage are those of `compared.Sides.document`, and the replay's `summary`.
    """

    gate: ClassVar[Gate]

    step: Step
    scores: Revision
    evaluated: date
    address: Address
    thresholds: Thresholds

    def produce(self) -> Judged:
        """Judge, publish, record, tag; raises OtherBaseline, NotAsServed, or Conflict with a verdict that is on record."""
        gate, step, model = self.gate, self.step, self.gate.model
        registry, before = Registry(step.warehouse), step.lake.current(self.address)
        candidate, baseline = (self._compared[side]["id"] for side in ("candidate", "baseline"))
        path = step.lake.fetch(self.scores, gate.scores, step.folder, verify=True)
        verdict = gate.judge(path, candidate, baseline, self.thresholds, self._digests())
        known = verdict_record.on_record(registry.verdicts(candidate), self.evaluated, self.scores.digest)
        # Before anything is published: the lake must not show a verdict that Postgres will refuse.
        if known is None:
            self._require_judgeable(registry.versions(model.policy))
        document = verdict_record.settle(known, verdict)
        publication = self._publish(document, before)
        version = registry.record_verdict(candidate, document, self.evaluated, self.scores.digest)
        model.versions(step.tracking).set_tags(version.model_version or "", verdict_record.tags(version))
        agreement = model.judge_agreement(step.tracking, step.warehouse, "registries_agree")
        outcomes = [agreement, verdict_record.judge(verdict, self._compared)]
        return Judged(publication, path, verdict, document, version, outcomes, compared.reason_of(self._compared))

    def why_not_asked(self, version: PolicyVersion) -> str:
        """Why this release cannot ask a version; empty where it can, as all can that a pipeline does not speak of."""
        return ""

    @property
    def _compared(self) -> Mapping[str, Any]:
        return self.scores.lineage.details

    def _require_judgeable(self, versions: Sequence[PolicyVersion]) -> None:
        gate, asset = self.gate, self.scores.address.asset
        verdict_record.require_baseline(versions, self._compared, gate.model.policy, asset, gate.model.bar)
        if compared.PASSED_OVER in self._compared:
            # Whoever replayed may have been another release, which could not ask what this one can.
            passed_over = self._compared[compared.PASSED_OVER]["id"]
            verdict_record.require_not_asked(
                {each.version: self.why_not_asked(each) for each in versions if each.id == passed_over}, asset
            )
        verdict_record.require_as_served(versions, self._compared, gate.settings, gate.deciding)

    def _digests(self) -> dict[str, str]:
        """Of the scores and of all that they were made from."""
        inputs = (*self.scores.lineage.inputs, self.scores.as_input())
        return {f"{item.asset}/{item.partition}": item.digest for item in inputs}

    def _publish(self, document: Mapping[str, Any], before: Revision | None) -> Publication:
        file = self.step.folder / DOCUMENT
        file.write_text(json.dumps(document, sort_keys=True, separators=(",", ":")), encoding="utf-8")
        named = ("candidate", "baseline", compared.PASSED_OVER)
        sides = {name: self._compared[name] for name in named if name in self._compared}
        lineage = Lineage(
            inputs=(self.scores.as_input(),), code_version=self.gate.code_version, run_id=self.step.run_id,
            details={"outcome": document["outcome"], **sides},
        )  # fmt: skip
        return self.step.lake.publish_files(self.address, {DOCUMENT: file}, lineage, expected=before)
