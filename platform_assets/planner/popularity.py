"""How often recipes are accepted, by kind of request: counts of training rows, as one JSON document.

A segment is (workflow_type, mode). Its share of a recipe backs off to all segments': (n_segment + k * share_of_all) /
(N_segment + k), with share_of_all = (n + 1) / (N + R), n and N in accepted meals and R the recipes ever accepted.
What does not belong here: planning by it (`planner.baselines`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from platform_assets.planner.plan_documents import read_plan
from platform_assets.planner.plans import PlanError

FORMAT = 1
BACK_OFF_MEALS = 200.0


@dataclass(frozen=True)
class Popularity:
    """Accepted meals per recipe, by segment "<workflow_type>/<mode>"; back_off is k above."""

    segments: Mapping[str, Mapping[str, int]]
    back_off: float = BACK_OFF_MEALS

    def shares(self, workflow_type: str, mode: str) -> Callable[[str], float]:
        """The share of a recipe, by its id, in a segment; of a segment never seen, that of all."""
        of_all, own = _total(self.segments), self.segments.get(_segment(workflow_type, mode), {})
        meals, own_meals, known = sum(of_all.values()), sum(own.values()), max(1, len(of_all))

        def share(recipe_id: str) -> float:
            general = (of_all[recipe_id] + 1) / (meals + known)
            return (own.get(recipe_id, 0) + self.back_off * general) / (own_meals + self.back_off)

        return share

    def document(self) -> dict[str, Any]:
        """Everything, as JSON; keys sorted, so that the same counts are the same text."""
        segments = {name: dict(sorted(counts.items())) for name, counts in sorted(self.segments.items())}
        return {"format": FORMAT, "back_off": self.back_off, "segments": segments}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Popularity:
        """What `document` gave; raises PlanError for anything else."""
        if document.get("format") != FORMAT:
            raise PlanError(f"popularity of format {document.get('format')!r}, this reads {FORMAT}: fit it again")
        segments = {name: {key: int(n) for key, n in counts.items()} for name, counts in document["segments"].items()}
        return cls(segments, float(document["back_off"]))


def fit_popularity(rows: Iterable[Mapping[str, Any]], back_off: float = BACK_OFF_MEALS) -> Popularity:
    """Counts over rows of weekly datasets (`input` and `target`); raises PlanError for no row or back_off <= 0."""
    if back_off <= 0:
        raise PlanError(f"back_off is {back_off}: it counts meals and must be more than 0")
    segments: dict[str, Counter[str]] = {}
    for row in rows:
        name = _segment(row["input"]["workflow_type"], row["input"]["mode"])
        segments.setdefault(name, Counter()).update(read_plan(row["target"]["accepted_plan"]).recipe_ids)
    if not segments:
        raise PlanError("no training row to count popularity on: name datasets that hold rows")
    return Popularity(segments, back_off)


def _segment(workflow_type: str, mode: str) -> str:
    return f"{workflow_type}/{mode}"


def _total(segments: Mapping[str, Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counts in segments.values():
        total.update(counts)
    return total
