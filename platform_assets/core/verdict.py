"""A gate's verdict: what was found, why in sentences, and as a document that is the same bytes for the same inputs.

What does not belong here: how it is reached (`core.gate`) and where it is kept (`core.registry`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from platform_assets.core.comparison import Metric, Thresholds
from platform_assets.core.policy_version import IS_BETTER

Outcome = Literal["pass", "fail", "inconclusive"]
# anchored: gated, but its own rows are too few, and an online experiment is to tell; reported: not gated.
Status = Literal["pass", "fail", "inconclusive", "anchored", "reported"]
_VERBS = {"pass": "passes", "fail": "fails", "inconclusive": "is inconclusive", "reported": "is reported, not gated"}
# A verdict without requirements is the document that it was before there were any: one on record is compared with it.
DOCUMENT_VERSION, WITH_REQUIREMENTS = 2, 3


@dataclass(frozen=True)
class Bounds:
    """One metric on some rows. Differences are turned so that more is better; None: too few clusters for a bound.

    `chance_equal_passes`: how often a truly equal candidate would pass with rows like these. `clusters_needed`: how many
    give it a chance of 80 %; None: no number does.
    """

    rows: int
    clusters: int
    margin: float
    candidate_mean: float
    baseline_mean: float
    estimate: float
    is_tie: bool
    lower: float | None = None
    upper: float | None = None
    interval: tuple[float, float] | None = None
    standard_error: float | None = None
    chance_equal_passes: float | None = None
    clusters_needed: int | None = None


@dataclass(frozen=True)
class MetricResult:
    """One metric's judgement, on the rows it is judged on; `all_rows` beside it where those are a subset."""

    metric: Metric
    status: Status
    reason: str
    bounds: Bounds | None
    all_rows: Bounds | None = None

    @property
    def is_judged(self) -> bool:
        """Whether the verdict depends on it."""
        return self.status not in ("anchored", "reported")


@dataclass(frozen=True)
class SliceResult:
    """One gated metric in one slice."""

    dimension: str
    value: str
    metric: str
    status: Literal["pass", "fail", "inconclusive", "too small"]
    blocks: bool
    reason: str
    bounds: Bounds | None


@dataclass(frozen=True)
class ConstraintResult:
    """A hard constraint. With 0 of n rows broken, the true share may still be up to `share_not_excluded` (3 / n)."""

    name: str
    rows: int
    broken: int
    first_broken: tuple[str, ...]
    share_not_excluded: float
    reason: str


@dataclass(frozen=True)
class Requirement:
    """A demand on the candidate itself, whatever the baseline does. One that does not block warns.

    `value` is what was found, `limit` what is demanded; None where it is not defined.
    """

    name: str
    status: Outcome
    blocks: bool
    reason: str
    value: float | None
    limit: float | None

    @property
    def word(self) -> str:
        """What its status means for the verdict."""
        return "warns" if self.status == "fail" and not self.blocks else _VERBS[self.status]

    @property
    def sentence(self) -> str:
        """For the reasons."""
        return f"{self.name} {self.word}: {self.reason}"


@dataclass(frozen=True)
class Verdict:
    """The whole judgement. `reasons` are sentences, the gravest first."""

    outcome: Outcome
    reasons: tuple[str, ...]
    constraints: tuple[ConstraintResult, ...]
    metrics: tuple[MetricResult, ...]
    slices: tuple[SliceResult, ...]
    rows: int
    clusters: int
    thresholds: Thresholds
    digests: Mapping[str, str]
    requirements: tuple[Requirement, ...] = ()

    @property
    def label(self) -> str:
        """Which thresholds it was reached with, for every place that shows it."""
        return self.thresholds.label

    @property
    def is_better_than_baseline(self) -> bool | None:
        """Whether it passed; None when inconclusive. Passing is: nowhere worse by more than a margin."""
        return IS_BETTER[self.outcome]

    def result(self, metric: str) -> MetricResult:
        """One metric's result; raises KeyError for a metric that was not compared."""
        return {each.metric.name: each for each in self.metrics}[metric]

    def document(self) -> dict[str, Any]:
        """Plain lists, texts and numbers, nothing rounded."""
        plain = asdict(self) | {"label": self.label, "is_better_than_baseline": self.is_better_than_baseline}
        if not self.requirements:
            del plain["requirements"]
        version = WITH_REQUIREMENTS if self.requirements else DOCUMENT_VERSION
        return json.loads(_dump(plain | {"document_version": version}))

    def to_json(self) -> str:
        """The document as text, keys sorted: the same bytes for the same inputs."""
        return _dump(self.document())


def metric_sentence(metric: Metric, status: Status, bounds: Bounds, cluster: str, why: str = "") -> str:
    """What was found of a metric, with its numbers."""
    verb = _VERBS.get(status, f"is {status}")
    found = f"{bounds.estimate:+.4f} against the baseline"
    if bounds.lower is not None and bounds.upper is not None:
        found += f", bounds {bounds.lower:+.4f} and {bounds.upper:+.4f}"
    turned = "" if metric.higher_is_better else ", less is better and counts as +"
    size = f"{bounds.rows:,} rows, {bounds.clusters:,} {cluster}s"
    return f"{metric.name} {verb}: {found}, margin {bounds.margin:.4f}{turned} ({size}){why}"


def in_order(
    constraints: Iterable[ConstraintResult],
    metrics: Iterable[MetricResult],
    slices: Iterable[SliceResult],
    requirements: Iterable[Requirement] = (),
) -> tuple[str, ...]:
    """The reasons: what fails, what blocks, what is open, what warns, what passes."""
    rank = {"fail": 1, "inconclusive": 3, "anchored": 4, "pass": 5, "reported": 6}
    found = [(0 if each.broken else 5, each.reason) for each in constraints]
    found += [(rank[each.status], each.reason) for each in metrics]
    found += [(2, each.reason) for each in slices if each.blocks]
    found += [(rank[each.status] if each.blocks else max(4, rank[each.status]), each.sentence) for each in requirements]
    return tuple(reason for _, reason in sorted(found, key=lambda each: each[0]))


def _dump(plain: Any) -> str:
    return json.dumps(plain, sort_keys=True, allow_nan=False, separators=(",", ":"))
