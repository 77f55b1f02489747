"""The rows of a replay: every accepted plan of the evaluated weeks, with what is known of it; what is left out is counted.

What belongs here: reading and choosing rows, the guard against rows that were trained on. What does not: running policies
(`planner.replay`), judging what came out (`planner.judgement`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from platform_assets.planner.catalogue import Catalogue
from platform_assets.planner.plan_documents import read_context
from platform_assets.planner.plans import IncompleteContext, PlanError, Request
from platform_assets.planner.targets import Target, read_target
from platform_assets.planner.validator import infeasibility

INFEASIBLE, INCOMPLETE = "infeasible", "incomplete"


class LeakError(RuntimeError):
    """Rows that the model was trained on are among those it is to be judged on; the message names the first."""


class UnreadableRow(PlanError):
    """A row that is not of the dataset's shape: the dataset is broken, and to leave it out would hide that."""


class NothingToReplay(PlanError):
    """No row is left; the message says what became of them."""


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """One accepted plan: the request as of its generation, what was accepted, and the row's slices."""

    plan_id: str
    household_id: str
    request: Request
    target: Target
    logged_by: str
    randomised: bool
    seen: bool

    def slices(self) -> dict[str, str]:
        """The dimensions by which results are looked at."""
        context = self.request.context
        return {
            "household": "seen" if self.seen else "unseen",
            "workflow_type": context.workflow_type,
            "mode": context.mode,
            "household_size": str(context.household.size),
            "region": context.household.region or "unknown",
        }


@dataclass
class Selection:
    """The rows that are replayed, and how many were not, by reason."""

    rows: list[ReplayRow] = field(default_factory=list)
    excluded: Counter[str] = field(default_factory=Counter)
    targets_outside_candidates: int = 0
    """Rows whose accepted plan holds a recipe that was not admissible at the time; they count."""


@dataclass(frozen=True)
class Seen:
    """What models were trained on: plans, households, and when the newest of the plans was accepted."""

    plans: frozenset[str] = frozenset()
    households: frozenset[str] = frozenset()
    until: datetime | None = None

    def __or__(self, other: Seen) -> Seen:
        """What either was trained on."""
        until = max((each.until for each in (self, other) if each.until), default=None)
        return Seen(self.plans | other.plans, self.households | other.households, until)

    @classmethod
    def read(cls, path: Path) -> Seen:
        """From training_rows.parquet. Households of the validation split count as seen: they chose the epoch."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        table = pq.read_table(path, columns=["plan_id", "household_id", "accepted_at"])
        until = pc.max(table["accepted_at"]).as_py()  # pyright: ignore[reportAttributeAccessIssue]
        return cls(frozenset(table["plan_id"].to_pylist()), frozenset(table["household_id"].to_pylist()), until)


def refuse_leak(plans: Mapping[str, datetime], seen: Seen) -> None:
    """Raises LeakError when a plan to be replayed was trained on, or is not newer than all that was.

    The score of the first would be a memory. One from before the newest training row judges a model that knows what
    households did later, which no served model does. `plans`: plan_id -> when it was accepted, which is what tells its week.
    """
    if leaked := sorted(plans.keys() & seen.plans):
        raise LeakError(
            f"{len(leaked):,} of the replayed plans were trained on, {leaked[0]} among them: evaluate the model on a week "
            "after the newest one that it has seen"
        )
    if seen.until is None:
        return
    if older := sorted(plan for plan, at in plans.items() if at <= seen.until):
        raise LeakError(
            f"{len(older):,} of the replayed plans, {older[0]} among them, are not newer than the newest training row "
            f"({seen.until:%Y-%m-%d %H:%M} UTC): evaluate on a week after it; in a backfill the baseline may be the newer one"
        )


def select(
    datasets: Sequence[Path],
    catalogue: Catalogue,
    seen: Seen,
    propensities: Mapping[str, float] = MappingProxyType({}),
    sample_size: int = 0,
) -> Selection:
    """All rows of the datasets, or a sample of that size that is the same on every run.

    `propensities`: plan_id -> propensity, of the plans that the logging policy drew at random. Raises LeakError.
    """
    rows = sorted(_read(datasets), key=lambda row: row["metadata"]["plan_id"])
    refuse_leak({row["metadata"]["plan_id"]: row["metadata"]["accepted_at"] for row in rows}, seen)
    if sample_size:
        rows = sorted(rows, key=lambda row: _draw(row["metadata"]["plan_id"]))[:sample_size]
        rows.sort(key=lambda row: row["metadata"]["plan_id"])
    selection = Selection()
    for row in rows:
        _add(selection, row, catalogue, seen, propensities)
    if not selection.rows:
        left_out = ", ".join(f"{reason} {count:,}" for reason, count in selection.excluded.items()) or "none was there"
        raise NothingToReplay(f"no row is left to replay of {len(rows):,}: {left_out}")
    return selection


def _add(
    selection: Selection, row: Mapping[str, Any], catalogue: Catalogue, seen: Seen, propensities: Mapping[str, float]
) -> None:
    metadata = row["metadata"]
    try:
        request = Request(read_context(row["input"]), catalogue.as_of(metadata["timestamp"]))
        target = read_target(row["target"])
    except IncompleteContext:
        selection.excluded[INCOMPLETE] += 1
        return
    except PlanError as error:
        raise UnreadableRow(f"plan {metadata['plan_id']} cannot be read: {error}; build its week again") from error
    if infeasibility(request):
        selection.excluded[INFEASIBLE] += 1
        return
    admissible = {recipe.id for recipe in request.candidates}
    selection.targets_outside_candidates += not set(target.accepted.recipe_ids) <= admissible
    household = request.context.household.id
    selection.rows.append(
        ReplayRow(
            metadata["plan_id"], household, request, target, metadata["policy_version_id"],
            metadata["plan_id"] in propensities, household in seen.households,
        )
    )  # fmt: skip


def _read(datasets: Sequence[Path]) -> Iterator[Mapping[str, Any]]:
    import pyarrow.parquet as pq

    for path in datasets:
        for batch in pq.ParquetFile(path).iter_batches(1000):
            yield from batch.to_pylist()


def _draw(plan_id: str) -> bytes:
    # Its own salt: neither the training split nor an experiment's bucket is told by it.
    return hashlib.sha256(f"planner/replay/sample/1:{plan_id}".encode()).digest()
