"""What must hold of the planner's tables: each function judges files and counts, and returns one Outcome.

Pure but for the engine that reads the files; no Dagster. The limits are `planner.limits`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from platform_assets.core import quality
from platform_assets.core.engine import Engine
from platform_assets.core.quality import Outcome
from platform_assets.planner.extraction import ExtractedDay

RESENT = "resent_event"


def rows_reconcile(day: ExtractedDay, events: int, quarantined: int) -> Outcome:
    """Rows in Postgres = rows read = typed events + quarantined events (re-sent ones among them)."""
    passed = day.source.rows == day.rows_read == events + quarantined
    reason = f"{day.source.rows} in Postgres, {day.rows_read} read, {events} kept + {quarantined} quarantined"
    counts = {"in_postgres": day.source.rows, "read": day.rows_read, "kept": events, "quarantined": quarantined}
    return Outcome("rows_reconcile", passed, reason, counts)


def required_metadata(engine: Engine, events: Path) -> Outcome:
    """Every plan event names policy version and request, and an experiment never without its variant."""
    found = engine.rows(
        """
        SELECT count(*) FILTER (WHERE policy_version_id IS NULL) AS policy_version_id,
               count(*) FILTER (WHERE request_id IS NULL) AS request_id,
               count(*) FILTER (WHERE experiment_id IS NOT NULL AND variant_id IS NULL) AS variant_id,
               count(*) FILTER (WHERE experiment_id IS NULL AND variant_id IS NOT NULL) AS experiment_id
        FROM events WHERE plan_id IS NOT NULL
        """,
        {"events": [events]},
    )[0]
    missing = {name: count for name, count in found.items() if count}
    reason = f"plan events without {missing}" if missing else "every plan event carries its metadata"
    return Outcome("required_metadata", not missing, reason, found)


def quarantine_share(rows: int, by_rule: Mapping[str, int], limit: float) -> Outcome:
    """Refused rows do not credibly exceed `limit` of the day. Re-sent events are normal traffic and do not count."""
    refused = sum(count for rule, count in by_rule.items() if rule != RESENT)
    outcome = quality.share_below("quarantine_share", refused, rows, limit, "events refused by a rule")
    return Outcome(
        outcome.name, outcome.passed, outcome.reason, {**outcome.metadata, "by_rule": json.dumps(dict(by_rule))}
    )


def freshness(day_end: datetime, newest: datetime | None, allowed: timedelta) -> Outcome:
    """The source had recorded something as late as `allowed` before the day's end; else the day may be cut short."""
    if newest is None:
        return Outcome("freshness", False, "the source has recorded no event at all", warning=True)
    passed = newest >= day_end - allowed
    reason = f"the source's newest recording is {newest.isoformat()}, the day ended {day_end.isoformat()}"
    return Outcome("freshness", passed, reason, {"newest_recording": newest.isoformat()}, warning=True)


def no_leak(engine: Engine, enriched: Path, not_point_in_time: Sequence[str]) -> Outcome:
    """No input was valid or known later than the generation time of its plan."""
    known = (
        "household_valid_from", "household_recorded_at", "constraints_valid_from", "constraints_recorded_at",
        "pantry_valid_from", "pantry_recorded_at", "recent_accepted_at",
        "recent_recorded_at",
    )  # fmt: skip
    counts = ", ".join(f"count(*) FILTER (WHERE {column} > generated_at) AS {column}" for column in known)
    found = engine.rows(f"SELECT {counts} FROM enriched", {"enriched": [enriched]})[0]
    leaks = {column: count for column, count in found.items() if count}
    reason = f"inputs from the future: {leaks}" if leaks else "no input is later than its plan"
    if not_point_in_time:
        reason += f"; cannot be judged, because the source keeps no history: {', '.join(not_point_in_time)}"
    return Outcome("no_leak", not leaks, reason, found)


def join_coverage(engine: Engine, enriched: Path, excluded: Path, minimum: float) -> Outcome:
    """The share of accepted plans whose household, constraints and pantry were known at generation time."""
    found = engine.rows(
        "SELECT (SELECT count(*) FROM enriched) AS enriched, "
        "(SELECT count(*) FROM excluded WHERE reason = 'unknown_household') AS unknown_household, "
        "(SELECT count(*) FROM enriched WHERE constraints IS NULL) AS without_constraints, "
        "(SELECT count(*) FROM enriched WHERE pantry.items IS NULL) AS without_pantry, "
        "(SELECT count(*) FROM enriched WHERE constraints IS NOT NULL AND pantry.items IS NOT NULL) AS complete",
        {"enriched": [enriched], "excluded": [excluded]},
    )[0]
    whole = found["enriched"] + found["unknown_household"]
    share = found["complete"] / whole if whole else 1.0
    reason = f"{found['complete']} of {whole} plans fully joined ({share:.1%}), minimum {minimum:.0%}"
    return Outcome("join_coverage", share >= minimum, reason, {**found, "coverage": share})


def plans_reconcile(engine: Engine, accepted: Path, enriched: Path, excluded: Path) -> Outcome:
    """Acceptances in = enriched + excluded."""
    found = engine.rows(
        "SELECT (SELECT count(*) FROM accepted) AS accepted, (SELECT count(*) FROM enriched) AS enriched, "
        "(SELECT count(*) FROM excluded) AS excluded",
        {"accepted": [accepted], "enriched": [enriched], "excluded": [excluded]},
    )[0]
    passed = found["accepted"] == found["enriched"] + found["excluded"]
    return Outcome(
        "plans_reconcile",
        passed,
        "{accepted} accepted, {enriched} enriched + {excluded} excluded".format(**found),
        found,
    )


def split_disjoint(engine: Engine, training: Path) -> Outcome:
    """No household is on both sides of the split."""
    both = engine.rows(
        "SELECT input.household.id AS household FROM training GROUP BY 1 HAVING count(DISTINCT metadata.split) > 1 LIMIT 10",
        {"training": [training]},
    )
    names = [row["household"] for row in both]
    return Outcome("split_disjoint", not both, f"on both sides: {names}" if both else "no household is on both sides")


def schema_unchanged(current: Mapping, previous: Mapping | None) -> Outcome:
    """The row's shape equals the previous week's, unless the schema's version says that it changed."""
    if previous is None:
        return Outcome("schema_unchanged", True, "the first week: nothing to compare with")
    if current["schema_version"] != previous["schema_version"]:
        reason = f"schema version {previous['schema_version']} became {current['schema_version']}"
        return Outcome("schema_unchanged", True, reason)
    passed = current["fields"] == previous["fields"]
    reason = (
        "same fields as the week before"
        if passed
        else "fields changed under the same schema version: raise SCHEMA_VERSION"
    )
    return Outcome("schema_unchanged", passed, reason)
