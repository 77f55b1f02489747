"""Whether a drift matters: thresholds, and a verdict with its reasons.

Pure: the distances come from `core.drift`. A distance counts only when it is both large (a threshold) and more than what
chance does to samples of these sizes (the noise that comes with it), so that a week of a hundred rows does not fail by
chance, and a week of a million does not warn about nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from platform_assets.core.drift import ColumnDrift

Level = Literal["ok", "warn", "fail"]
# Level, how grave (value over limit), and the sentence.
Finding = tuple[Level, float, str]
_ORDER: tuple[Level, ...] = ("ok", "warn", "fail")


@dataclass(frozen=True)
class Thresholds:
    """Where a distance warns and fails: PSI, absolute change of the null rate, share of rows in new categories."""

    warn_psi: float = 0.1
    fail_psi: float = 0.25
    warn_null: float = 0.02
    fail_null: float = 0.1
    warn_new: float = 0.05
    fail_new: float = 0.2


THRESHOLDS = Thresholds()


@dataclass(frozen=True)
class DriftVerdict:
    """The worst level of any column, and one sentence per finding, gravest first."""

    level: Level
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Measure:
    """One distance of one column beside the limits that hold for its sample sizes."""

    name: str
    value: float
    warn: float
    fail: float

    @property
    def level(self) -> Level:
        return "fail" if self.value > self.fail else "warn" if self.value > self.warn else "ok"


def judge(
    drifts: Sequence[ColumnDrift], thresholds: Thresholds = THRESHOLDS, ignore: Sequence[str] = ()
) -> DriftVerdict:
    """The verdict over all columns but those that match a pattern of `ignore` (`*` stands for any text).

    Times and unique-ish texts are judged by their null rate only. A column that is gone or has changed its kind fails, a
    new one warns. Current rows without a single value warn (nothing was judged); an empty reference is no finding.
    """
    judged = [drift for drift in drifts if not _matches(drift.column, ignore)]
    found: list[Finding] = [finding for drift in judged for finding in _findings(drift, thresholds)]
    if not any(drift.current_values for drift in judged) and any(drift.reference_values for drift in judged):
        found.append(("warn", 0.0, "the current rows hold no value in any judged column: no distribution was judged"))
    found.sort(key=lambda finding: (-_ORDER.index(finding[0]), -finding[1], finding[2]))
    return DriftVerdict(found[0][0] if found else "ok", tuple(text for _, _, text in found))


def worst(
    drifts: Iterable[ColumnDrift], thresholds: Thresholds = THRESHOLDS, ignore: Sequence[str] = (), count: int = 20
) -> list[ColumnDrift]:
    """The `count` columns that come closest to failing or exceed it most, by their worst measure; ignored ones left out."""
    judged = [drift for drift in drifts if not _matches(drift.column, ignore)]
    return sorted(judged, key=lambda drift: (-_severity(drift, thresholds), drift.column))[:count]


def measures(drift: ColumnDrift, thresholds: Thresholds) -> list[Measure]:
    """What is judged of one column.

    The limit of PSI is its mean without drift plus the threshold, or its noise where that is more. Limits of the other two
    are the threshold or the noise, whichever is more: their mean without drift is 0.
    """
    change, new = abs(drift.null_rate_change), drift.new_category_share
    found = [_measure("null rate change", change, thresholds.warn_null, thresholds.fail_null, drift.null_noise)]
    if drift.distribution_judged and drift.psi is not None:
        mean = drift.psi_mean
        limits = (thresholds.warn_psi + mean, thresholds.fail_psi + mean)
        found.append(_measure("PSI", drift.psi, *limits, drift.psi_noise))
        found.append(
            _measure("new category share", new, thresholds.warn_new, thresholds.fail_new, drift.new_category_noise)
        )
    return found


def _measure(name: str, value: float, warn: float, fail: float, noise: float) -> Measure:
    return Measure(name, value, max(warn, noise), max(fail, noise))


def _findings(drift: ColumnDrift, thresholds: Thresholds) -> list[Finding]:
    changes: dict[str, tuple[Level, str]] = {
        "reference": ("fail", "is gone"),
        "kind": ("fail", "holds another kind of values than before"),
        "current": ("warn", "is new"),
    }
    if drift.presence in changes:
        level, what = changes[drift.presence]
        return [(level, float("inf"), f"{drift.column} {what}")]
    return [
        (each.level, each.value / each.fail, f"{drift.column}: {_sentence(each, drift)}")
        for each in measures(drift, thresholds)
        if each.level != "ok"
    ]


def _sentence(measure: Measure, drift: ColumnDrift) -> str:
    limit = measure.fail if measure.level == "fail" else measure.warn
    value = drift.null_rate_change if measure.name == "null rate change" else measure.value
    rows = f"{drift.current_values:,} values against {drift.reference_values:,}"
    return f"{measure.name} {value:+.3f} is beyond {limit:.3f} ({rows})"


def _severity(drift: ColumnDrift, thresholds: Thresholds) -> float:
    if drift.presence != "both":
        return float("inf")
    return max(each.value / each.fail for each in measures(drift, thresholds))


def _matches(column: str, patterns: Sequence[str]) -> bool:
    # Not fnmatch: in it, the brackets of `items[].id` are a set of characters.
    return any(re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), column) for pattern in patterns)
