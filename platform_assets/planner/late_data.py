"""Which enriched days a changed day of events can change: as far as the change goes, and no further.

The declared look-back (35 days) says what may depend on a day. Most late events touch one plan: re-running 35 days for it
would be safe, and would tell people that 35 days changed when one did. This narrows the look-back by what really changed:
- a late `plan_accepted` changes its own day, days whose plans were generated after it was recorded (previous plans), and a
  later day on which the same plan was accepted again;
- a late `plan_generated` or edit changes the day on which its plan was accepted, up to a plan's lifetime later;
- other events change no enriched row.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

from platform_assets.core.engine import Engine
from platform_assets.planner.enrichment import LOOK_BACK_DAYS, PLAN_LIFETIME_DAYS

_CHANGED = """
    SELECT 'after' AS side, * FROM (SELECT * FROM current EXCEPT ALL SELECT * FROM previous)
    UNION ALL
    SELECT 'before' AS side, * FROM (SELECT * FROM previous EXCEPT ALL SELECT * FROM current)
"""


def affected_days(
    engine: Engine, day: str, previous: Path | None, current: Path, later: Mapping[str, Path]
) -> list[str]:
    """The enriched days to compute again after events of `day` changed from `previous` to `current`, sorted.

    `later` maps the published days after `day` (within the look-back) to their events. A first publication changes
    everything it holds. Days are keys, YYYY-MM-DD.
    """
    accepted, others = _changed_plans(engine, previous, current)
    near = {key: path for key, path in later.items() if date.fromisoformat(key) <= _after(day, LOOK_BACK_DAYS)}
    affected = {day} if accepted else set()
    if accepted:
        recorded = min(accepted.values())
        affected |= {key for key, path in near.items() if date.fromisoformat(key) >= recorded}
        affected |= {key for key, path in near.items() if accepted.keys() & _accepted_plans(engine, path)}
    if others:
        soon = {key: path for key, path in near.items() if date.fromisoformat(key) <= _after(day, PLAN_LIFETIME_DAYS)}
        affected |= {key for key, path in {day: current, **soon}.items() if others & _accepted_plans(engine, path)}
    return sorted(affected)


def _changed_plans(engine: Engine, previous: Path | None, current: Path) -> tuple[dict[str, date], set[str]]:
    """Plans with a changed acceptance (and the first day it was recorded on), and plans with a changed generation or edit."""
    inputs = {"current": [current], **({"previous": [previous]} if previous else {})}
    rows = engine.rows(
        f"SELECT plan_id, event_type = 'plan_accepted' AS is_acceptance, CAST(min(created_at) AS DATE) AS recorded "
        f"FROM ({_CHANGED if previous else 'SELECT * FROM current'}) "
        "WHERE event_type IN ('plan_accepted', 'plan_generated', 'meal_swapped', 'edit_applied') GROUP BY 1, 2",
        inputs,
    )
    accepted = {row["plan_id"]: row["recorded"] for row in rows if row["is_acceptance"]}
    return accepted, {row["plan_id"] for row in rows if not row["is_acceptance"]}


def _accepted_plans(engine: Engine, events: Path) -> set[str]:
    rows = engine.rows("SELECT DISTINCT plan_id FROM events WHERE event_type = 'plan_accepted'", {"events": [events]})
    return {row["plan_id"] for row in rows}


def _after(day: str, days: int) -> date:
    return date.fromisoformat(day) + timedelta(days=days)
