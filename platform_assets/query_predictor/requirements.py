"""The product's requirements on a router, checked on days it has never seen: pass, fail or inconclusive, each with its reason.

Recall counts end to end, what the zero-cost stage misses included, and must be certain: its one-sided 95 % lower bound (Clopper and
Pearson 1934) must reach .98. Fewer than 149 heavy queries cannot show that: inconclusive, unless even the upper bound lies below
.98. Of 149 or more, a recall that is observed below .98 fails: what missed the requirement is not given the benefit of chance.
Recall would be trivial alone, since routing everything has recall 1 and costs less than routing nothing: the routed share has a
limit, and must not exceed what the template's history needs for the same recall. The bounds take queries for independent; repeats
of one template say less than their count. What does not belong here: choosing a threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

from platform_assets.core.quality import Outcome
from platform_assets.core.verdict import Requirement
from platform_assets.query_predictor.routing import Routed
from platform_assets.query_predictor.zero_cost import upper_bound

NAME = "requirements.json"
RECALL, CONFIDENCE = 0.98, 0.95
ROUTED_SHARE = 0.25
F1, AUC = 0.85, 0.90
Status = Literal["pass", "fail", "inconclusive"]


class Check(Requirement):
    """One requirement. One that does not block warns."""

    def outcome(self) -> Outcome:
        """As a check of an asset: undecided is not passed, and warns."""
        is_warning = not self.blocks or self.status == "inconclusive"
        numbers = {"status": self.status, "value": self.value, "limit": self.limit}
        return Outcome(self.name, self.status == "pass", self.reason, numbers, is_warning)


@dataclass(frozen=True)
class Judgement:
    """All requirements together. `reasons` are sentences, the gravest first."""

    outcome: Status
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "outcome": self.outcome,
            "reasons": list(self.reasons),
            "checks": [asdict(check) for check in self.checks],
        }


def recall_lower_bound(caught: int, heavy: int, confidence: float = CONFIDENCE) -> float:
    """One-sided lower bound of a recall; 0 without a heavy query."""
    return 1 - upper_bound(heavy - caught, heavy, confidence) if heavy else 0.0


@lru_cache
def heavy_needed(missed: int, recall: float = RECALL, confidence: float = CONFIDENCE) -> int:
    """The fewest heavy queries of which so many may be missed while the recall is still certain: 149, 236, 313, 386, 456."""
    low, high = missed, 1024 + 64 * missed
    while recall_lower_bound(high - missed, high, confidence) < recall:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if recall_lower_bound(middle - missed, middle, confidence) >= recall:
            high = middle
        else:
            low = middle
    return high


def may_be_missed(heavy: int, recall: float = RECALL, confidence: float = CONFIDENCE) -> int | None:
    """How many of so many heavy queries may be missed while the recall is still certain; None: too few for any."""
    if heavy < heavy_needed(0, recall, confidence):
        return None
    low, high = 0, heavy
    while high - low > 1:
        middle = (low + high) // 2
        is_certain = recall_lower_bound(heavy - middle, heavy, confidence) >= recall
        low, high = (middle, high) if is_certain else (low, middle)
    return low


def judge(routed: Routed, fingerprint_share: float | None, auc: float | None) -> Judgement:
    """Judge what the frozen threshold does on test days.

    `fingerprint_share` is what the template's history routes to catch as many; None where it never catches as many.
    """
    checks = (
        _recall(routed), _routed_share(routed), _beats_fingerprint(routed, fingerprint_share),
        _wanted("f1", routed.f1, F1), _wanted("auc", auc, AUC),
    )  # fmt: skip
    blocking = [check.status for check in checks if check.blocks]
    outcome: Status = "fail" if "fail" in blocking else "inconclusive" if "inconclusive" in blocking else "pass"
    return Judgement(outcome, _in_order(checks), checks)


def _recall(routed: Routed) -> Check:
    name, least = "end_to_end_recall", heavy_needed(0)
    if routed.recall is None:
        reason = f"no heavy query in {routed.rows:,} test queries: nothing tells the recall; it takes {least} or more"
        return Check(name, "inconclusive", True, reason, None, RECALL)
    lower = recall_lower_bound(routed.caught, routed.heavy)
    before = f", {routed.free_heavy} of them before the model" if routed.free_heavy else ""
    missed = f"{routed.missed} of {routed.heavy} heavy test queries missed{before}"
    found = f"{missed}: recall {routed.recall:.4f}, surely above {lower:.4f}"
    upper = upper_bound(routed.caught, routed.heavy, CONFIDENCE)
    if upper < RECALL:
        # Few queries cannot show that a recall is high enough; that it is too low, a dozen misses do.
        reason = f"{found} and below {upper:.4f}; {RECALL} is required: look at what was missed"
        return Check(name, "fail", True, reason, lower, RECALL)
    if routed.heavy < least:
        return Check(
            name, "inconclusive", True, f"{found}; it takes {least} or more to be certain of {RECALL}", lower, RECALL
        )
    if lower >= RECALL:
        return Check(name, "pass", True, f"{found}; {RECALL} is required", lower, RECALL)
    if routed.recall < RECALL:
        return Check(name, "fail", True, f"{found}; {RECALL} is required: look at what was missed", lower, RECALL)
    reason = f"{found}; with {routed.missed} missed it takes {heavy_needed(routed.missed)} to be certain of {RECALL}"
    return Check(name, "inconclusive", True, reason, lower, RECALL)


def _routed_share(routed: Routed) -> Check:
    if not routed.rows:
        return Check("routed_share", "inconclusive", True, "there are no test queries", None, ROUTED_SHARE)
    status: Status = "pass" if routed.share <= ROUTED_SHARE else "fail"
    reason = f"{routed.sent:,} of {routed.rows:,} test queries routed as heavy ({routed.share:.2%}), limit {ROUTED_SHARE:.0%}"
    return Check("routed_share", status, True, reason, routed.share, ROUTED_SHARE)


def _beats_fingerprint(routed: Routed, baseline: float | None) -> Check:
    name = "beats_fingerprint"
    if not routed.caught:
        return Check(name, "inconclusive", True, "nothing was caught: no recall to compare at", None, baseline)
    if baseline is None:
        reason = f"the templates' history never catches the {routed.caught} heavy queries that the model does"
        return Check(name, "pass", True, reason, routed.share, None)
    status: Status = "pass" if routed.share <= baseline else "fail"
    reason = f"routes {routed.share:.2%} where the templates' history routes {baseline:.2%} to catch the same {routed.caught}"
    return Check(name, status, True, reason, routed.share, baseline)


def _wanted(name: str, value: float | None, limit: float) -> Check:
    if value is None:
        return Check(name, "inconclusive", False, f"{name} is not defined: a class is missing", None, limit)
    status: Status = "pass" if value >= limit else "fail"
    return Check(name, status, False, f"{name} {value:.4f}, {limit:.2f} or more is wanted", value, limit)


def _in_order(checks: Sequence[Check]) -> tuple[str, ...]:
    order = {"fail": 0, "inconclusive": 1, "pass": 2}
    ranked = sorted(checks, key=lambda check: (not check.blocks, order[check.status]))
    return tuple(check.sentence for check in ranked)
