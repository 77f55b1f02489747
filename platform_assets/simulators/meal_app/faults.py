"""Planting what real logs have, and writing down where: every fault is known, so that a pipeline can be judged.

At most one fault per event. Order: days that lost everything, plans of broken pantries and of unknown households, then
single events. What does not belong here: the shares (`scenario.Faults`) and how a broken document looks (`breakage`).
Legend: E events, N plans, S pantry snapshots.
"""

# pyarrow.compute gets its functions at run time, where a type checker cannot see them.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from platform_assets.simulators.meal_app import breakage
from platform_assets.simulators.meal_app.diary import Plans
from platform_assets.simulators.meal_app.events import EventLog
from platform_assets.simulators.meal_app.scenario import DAY, HOUR, MINUTE, Faults, Scenario
from platform_assets.simulators.meal_app.text import draw_uuids, replace, timestamps
from platform_assets.simulators.meal_app.truth import Ledger

UNKNOWN_TYPES = ("plan_viewed", "plan_generated_v2", "shopping_list_printed")


@dataclass
class Planter:
    """The log being spoilt: `free` (E,) events that carry no fault yet."""

    rng: np.random.Generator
    scenario: Scenario
    log: EventLog
    empty_days: np.ndarray
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        self.free = np.ones(self.log.table.num_rows, bool)

    def column(self, name: str) -> pa.Array:
        """A column of the log as one array."""
        return self.log.table[name].combine_chunks()

    def moments(self, name: str) -> np.ndarray:
        """(E,) a time column in microseconds since 1970."""
        return self.column(name).cast(pa.int64()).to_numpy()

    def set(self, name: str, values: pa.Array) -> None:
        """Replace a column of the log."""
        self.log.table = self.log.table.set_column(self.log.table.column_names.index(name), name, values)

    def pick(self, share: float, eligible: np.ndarray | None = None) -> np.ndarray:
        """Positions of free events for one fault: the share of the whole log, at least one; they are free no more."""
        pool = np.nonzero(self.free if eligible is None else self.free & eligible)[0]
        wanted = min(len(pool), max(1, round(share * len(self.free)))) if share else 0
        rows = np.sort(self.rng.choice(pool, wanted, replace=False)) if wanted else np.empty(0, np.int64)
        self.free[rows] = False
        return rows

    def note(self, rows: np.ndarray, fault: str | list[str], expected: str, rule: str) -> None:
        """Write the log's rows down as faulty; called after the log carries the fault."""
        self.ledger.note(self.log, rows, fault, expected, rule)


def draw_empty_days(scenario: Scenario) -> np.ndarray:
    """Days (since 1970) without events; the same for every chunk, and never the first or last day."""
    share, days = scenario.faults.empty_day, scenario.weeks * 7
    if not share:
        return np.empty(0, np.int64)
    rng = np.random.default_rng([scenario.seed, 3])
    first = scenario.start_us // DAY
    return np.sort(first + 1 + rng.choice(days - 2, max(1, round(share * days)), replace=False))


def lose_days(log: EventLog, empty_days: np.ndarray) -> EventLog:
    """The log without the plans that have an event on an empty day: half a plan would be another, unlisted fault."""
    day = log.table["timestamp"].cast(pa.int64()).to_numpy() // DAY
    lost = np.unique(log.plan[np.isin(day, empty_days)])
    keep = ~np.isin(log.plan, lost)
    return EventLog(log.table.filter(pa.array(keep)), log.plan[keep], log.plan_ids)


def plant(
    rng: np.random.Generator, scenario: Scenario, log: EventLog, plans: Plans, pantry: pa.Table, owner: np.ndarray
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Events and pantry snapshots with the scenario's faults in them, and the rows of truth about those faults."""
    empty_days = draw_empty_days(scenario)
    faults = scenario.faults
    planter = Planter(rng, scenario, lose_days(log, empty_days), empty_days)
    pantry = _break_pantry(planter, faults.malformed_pantry, plans, pantry, owner)
    _plant_unknown_household(planter, faults.unknown_household)
    # The rarest carriers first: only some events have an experiment, or room for a later timestamp.
    _plant_missing_arm(planter, faults.missing_experiment_id, "experiment_id")
    _plant_missing_arm(planter, faults.missing_variant_id, "variant_id")
    _plant_clock_skew(planter, faults.clock_skew)
    _plant_missing_policy_version(planter, faults.missing_policy_version_id)
    _plant_unknown_type(planter, faults.unknown_event_type)
    _plant_malformed_payload(planter, faults.malformed_payload)
    _plant_late(planter, faults.late)
    _plant_resent(planter, faults)
    return planter.log.table, pantry, planter.ledger.table()


def _break_pantry(planter: Planter, share: float, plans: Plans, pantry: pa.Table, owner: np.ndarray) -> pa.Table:
    """Spoil snapshots; the plans that would read one of them as of their generation are the fault's victims."""
    wanted = max(1, round(share * len(pantry))) if share else 0
    if not wanted:
        return pantry
    rows = np.sort(planter.rng.choice(len(pantry), wanted, replace=False))
    items, kinds = breakage.break_all(planter.rng, pantry["items"].take(pa.array(rows)), breakage.PANTRY_KINDS)
    seen = as_of_snapshot(plans, pantry, owner)
    position = np.full(len(pantry), -1)
    position[rows] = np.arange(len(rows))
    victim = np.where(seen >= 0, position[seen], -1)[planter.log.plan]
    planter.free &= victim < 0
    told = np.nonzero((victim >= 0) & one_event_per_plan(planter.log))[0]
    planter.note(told, [kinds[each] for each in victim[told]], "excluded", "malformed_pantry")
    column = replace(pantry["items"].combine_chunks(), rows, items)
    return pantry.set_column(pantry.column_names.index("items"), "items", column)


def one_event_per_plan(log: EventLog) -> np.ndarray:
    """(E,) marks each plan's acceptance or, of a plan never accepted, its generation."""
    kind = log.table["event_type"]
    accepted = pc.equal(kind, "plan_accepted").to_numpy()
    generated = pc.equal(kind, "plan_generated").to_numpy()
    return accepted | (generated & ~np.isin(log.plan, log.plan[accepted]))


def as_of_snapshot(plans: Plans, pantry: pa.Table, owner: np.ndarray) -> np.ndarray:
    """(N,) position of the snapshot each plan sees at its generation, -1 for none.

    Visible: taken and recorded by then; the winner is the greatest (snapshot_time, recorded_at, id). `owner` (S,) is the
    household of each snapshot.
    """
    newest_first = [(name, "descending") for name in ("snapshot_time", "recorded_at", "id")]
    order = pc.sort_indices(
        pantry.append_column("owner", pa.array(owner)), [("owner", "ascending"), *newest_first]
    ).to_numpy()
    taken, recorded = (pantry[name].cast(pa.int64()).to_numpy()[order] for name in ("snapshot_time", "recorded_at"))
    place = np.searchsorted(owner[order], plans.household)
    last = np.searchsorted(owner[order], plans.household, side="right")
    seen = np.full(len(plans), -1)
    while (open_plans := np.nonzero((seen < 0) & (place < last))[0]).size:
        here, moment = place[open_plans], plans.generated_at[open_plans]
        visible = (taken[here] <= moment) & (recorded[here] <= moment)
        seen[open_plans[visible]] = order[here[visible]]
        place[open_plans] += 1
    return seen


def _plant_unknown_household(planter: Planter, share: float) -> None:
    """All events of a plan come from a household that no table knows."""
    plan = planter.log.plan
    whole = np.setdiff1d(plan, plan[~planter.free])
    wanted = min(len(whole), max(1, round(share * len(whole)))) if share else 0
    chosen = np.sort(planter.rng.choice(whole, wanted, replace=False))
    rows = np.nonzero(np.isin(plan, chosen))[0]
    strangers = draw_uuids(planter.rng, wanted).take(pa.array(np.searchsorted(chosen, plan[rows])))
    planter.set("unit_id", replace(planter.column("unit_id"), rows, strangers))
    planter.free[rows] = False
    planter.note(rows, "unknown_household", "excluded", "unknown_household")


def _plant_missing_arm(planter: Planter, share: float, key: str) -> None:
    enrolled = pc.not_equal(planter.column("experiments"), "[]").to_numpy(zero_copy_only=False)
    rows = planter.pick(share, enrolled)
    column = planter.column("experiments")
    broken = [breakage.without_arm_key(text, key) for text in column.take(pa.array(rows)).to_pylist()]
    planter.set("experiments", replace(column, rows, broken))
    planter.note(rows, f"missing_{key}", "quarantined_events", f"missing_{key}")


def _plant_missing_policy_version(planter: Planter, share: float) -> None:
    rows = planter.pick(share)
    column = planter.column("context")
    broken = [breakage.without_policy_version(text) for text in column.take(pa.array(rows)).to_pylist()]
    planter.set("context", replace(column, rows, broken))
    planter.note(rows, "missing_policy_version_id", "quarantined_events", "missing_policy_version_id")


def _plant_clock_skew(planter: Planter, share: float) -> None:
    """The sender's clock runs ahead; the day the wrong time falls on is one that the scenario has events on."""
    created = planter.moments("created_at")
    wrong = created + planter.rng.integers(HOUR, 12 * HOUR, len(created))
    rows = planter.pick(share, ~np.isin(wrong // DAY, planter.empty_days) & (wrong < planter.scenario.end_us))
    planter.set("timestamp", replace(planter.column("timestamp"), rows, timestamps(wrong[rows])))
    planter.note(rows, "clock_skew", "quarantined_events", "clock_skew")


def _plant_unknown_type(planter: Planter, share: float) -> None:
    rows = planter.pick(share)
    names = [UNKNOWN_TYPES[choice] for choice in planter.rng.integers(0, len(UNKNOWN_TYPES), len(rows))]
    planter.set("event_type", replace(planter.column("event_type"), rows, names))
    planter.note(rows, "unknown_event_type", "quarantined_events", "unknown_event_type")


def _plant_malformed_payload(planter: Planter, share: float) -> None:
    rows = planter.pick(share)
    column = planter.column("payload")
    broken, kinds = breakage.break_all(planter.rng, column.take(pa.array(rows)), breakage.PAYLOAD_KINDS)
    planter.set("payload", replace(column, rows, broken))
    planter.note(rows, kinds, "quarantined_events", "malformed_payload")


def _plant_late(planter: Planter, share: float) -> None:
    rows = planter.pick(share)
    late = planter.moments("timestamp")[rows] + planter.rng.integers(DAY, 6 * DAY, len(rows))
    planter.set("created_at", replace(planter.column("created_at"), rows, timestamps(late)))
    planter.note(rows, "late_event", "events", "late_event")


def _plant_resent(planter: Planter, faults: Faults) -> None:
    """Copies, recorded after their originals; the originals stay valid and carry no other fault."""
    rows = planter.pick(faults.resent)
    copies = planter.log.table.take(pa.array(rows))
    later = planter.moments("created_at")[rows] + planter.rng.integers(MINUTE, 2 * DAY, len(rows))
    index = copies.column_names.index
    copies = copies.set_column(index("id"), "id", draw_uuids(planter.rng, len(rows)))
    copies = copies.set_column(index("created_at"), "created_at", timestamps(later))
    count = planter.log.table.num_rows
    planter.log.table = pa.concat_tables([planter.log.table, copies]).combine_chunks()
    planter.log.plan = np.concatenate([planter.log.plan, planter.log.plan[rows]])
    planter.note(np.arange(count, count + len(rows)), "resent_event", "quarantined_events", "resent_event")
