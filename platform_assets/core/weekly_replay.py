"""One evaluated week's replay as it is published: rows of scores, and a manifest by which they are judged.

The same for every pipeline. What does not belong here: replaying (a program of the pipeline), which versions are compared
(`core.compared`), what is recorded of it beside the lake (`core.replay_record`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platform_assets.core.compared import Sides
from platform_assets.core.lake import Address, Lineage, Publication, Revision
from platform_assets.core.quality import Outcome, to_details
from platform_assets.core.replay_record import Means
from platform_assets.core.step import Step
from platform_assets.core.tracking import Run


@dataclass(frozen=True)
class Scored:
    """What a replay's program left, and the checks of it."""

    scores: Path
    summary: Mapping[str, Any]
    outcomes: Sequence[Outcome]
    code_version: str
    """Of all that decides a score."""
    side_files: Mapping[str, Path] = field(default_factory=dict)
    """Name -> what is read beside the scores and is no part of their digest."""


@dataclass(frozen=True)
class Replayed:
    """What a week's replay became."""

    publication: Publication
    scored: Scored
    means: Means
    pictures: Mapping[str, bytes]
    """File name -> PNG."""
    run: Run


def publish(
    step: Step, address: Address, inputs: Sequence[Revision], sides: Sides, scored: Scored, before: Revision | None
) -> Publication:
    """Publish the scores in place of `before`; the manifest says what `core.weekly_verdict` asks for."""
    details = {**sides.document(), "summary": scored.summary, "checks": to_details(scored.outcomes)}
    lineage = Lineage(
        inputs=tuple(revision.as_input() for revision in inputs), code_version=scored.code_version, run_id=step.run_id,
        details=details,
    )  # fmt: skip
    scores = {scored.scores.name: scored.scores}
    return step.lake.publish_table(address, scores, lineage, side_files=scored.side_files, expected=before)
