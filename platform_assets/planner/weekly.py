"""A week of enriched days in the documented shape, with what its summary says.

What belongs here: the transform, its split, the counts a reader wants. What does not: which days make a week
(`orchestration.partitions`) and whether a week may be built at all (the asset and its gate).
"""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_assets.core import dataset, transform
from platform_assets.core import quality as common_checks
from platform_assets.core.engine import Engine
from platform_assets.core.profile import Profile, profile_table
from platform_assets.core.quality import Outcome
from platform_assets.planner import drift, quality, sources

# Its own salt: the experiments' buckets hash "experiment_id:unit_id"; a shared hash would tie the split to an arm.
SPLIT_SALT = "planner/dataset/split/1:"
VALIDATION_SHARE = 0.1
SCHEMA_VERSION = 1
TASK = "Weekly plan generation (supervised)"
TARGETS = "Accepted meal plans, and the edits that led to them"
CODE_VERSION = transform.code_version(
    sources.SQL / "dataset.sql", Path(__file__), *(Path(inspect.getfile(module)) for module in (drift, quality))
)


@dataclass(frozen=True)
class BuiltWeek:
    """A built week before publication. `pictures` maps file names to PNG bytes."""

    training: Path
    schema: Mapping[str, Any]
    profile: Profile
    summary: dataset.Summary
    outcomes: Sequence[Outcome]
    pictures: Mapping[str, bytes]


def build_week(
    engine: Engine,
    enriched: Sequence[Path],
    folder: Path,
    *,
    name: str,
    days: Sequence[str],
    enriched_details: Iterable[Mapping[str, Any]],
    event_details: Iterable[Mapping[str, Any]],
    trailing: Sequence[tuple[bytes, bytes]],
    warming_up: bool,
    minimum_rows: int,
) -> BuiltWeek:
    """Build, profile and judge one week from its enriched days.

    `trailing` holds (profile.json, schema.json) of the published weeks before it, oldest first. `warming_up`: the calendar
    starts inside the look-back of one of these weeks, so that their histories have different lengths and are not comparable.
    """
    training = folder / dataset.TRAINING
    write_training(engine, enriched, training)
    schema = dataset.schema_document(training, SCHEMA_VERSION)
    profile = profile_table([training], memory_limit=engine.memory_limit, threads=engine.threads)
    reference = [Profile.from_json(document.decode()) for document, _ in trailing]
    drifted, pictures = drift.judge_week(reference, profile, name, warming_up)
    summary = summarise(
        engine,
        training,
        name,
        (days[0], days[-1]),
        dataset.count_leaves(schema["fields"]),
        enriched_details,
        event_details,
    )
    outcomes = [
        common_checks.minimum_rows("minimum_rows", summary.rows, minimum_rows),
        common_checks.not_null(
            engine,
            "required_not_null",
            [training],
            ["input.household.id", "target.accepted_plan", "target.accepted_plan.meals"],
        ),
        quality.schema_unchanged(schema, json.loads(trailing[-1][1]) if trailing else None),
        drifted,
        quality.split_disjoint(engine, training),
    ]
    return BuiltWeek(training, schema, profile, summary, outcomes, pictures)


def write_training(engine: Engine, enriched: Sequence[Path], target: Path) -> None:
    """Write training.parquet of a week from the files of its enriched days."""
    engine.run(
        transform.load(sources.SQL / "dataset.sql"),
        {"enriched_plans": enriched},
        {"dataset": target},
        # Compared as text: the first 16 bits of the hash in hexadecimal, the same in every SQL engine.
        {"split_salt": SPLIT_SALT, "validation_below": f"{round(VALIDATION_SHARE * 65536):04x}"},
    )


def summarise(
    engine: Engine,
    training: Path,
    name: str,
    window: tuple[str, str],
    fields: int,
    enriched_details: Iterable[Mapping[str, Any]],
    event_details: Iterable[Mapping[str, Any]],
) -> dataset.Summary:
    """The dataset's summary. `*_details` are what the manifests of the week's days say of exclusions and quarantine."""
    enriched_details = list(enriched_details)
    facts = engine.rows(
        "SELECT count(*) AS rows, count(DISTINCT input.household.id) AS households, "
        "list(DISTINCT metadata.policy_version_id ORDER BY metadata.policy_version_id) AS policy_versions FROM training",
        {"training": [training]},
    )[0]
    shares = {
        title: _counts(engine, training, column)
        for title, column in (
            ("Workflow types", "input.workflow_type"),
            ("Modes", "input.mode"),
            ("Split", "metadata.split"),
        )
    }
    return dataset.Summary(
        name=name,
        rows=facts["rows"],
        fields=fields,
        task=TASK,
        targets=TARGETS,
        households=facts["households"],
        first_day=window[0],
        last_day=window[1],
        shares=shares,
        policy_versions=facts["policy_versions"] or [],
        exclusions=_total(details["excluded"] for details in enriched_details),
        quarantined=_total(details["quarantined"] for details in event_details),
        not_point_in_time=sorted({name for details in enriched_details for name in details["not_point_in_time"]}),
    )


def _counts(engine: Engine, training: Path, column: str) -> dict[str, int]:
    rows = engine.rows(
        f"SELECT {column} AS value, count(*) AS times FROM training GROUP BY 1 ORDER BY 2 DESC, 1",
        {"training": [training]},
    )
    return {row["value"]: row["times"] for row in rows}


def _total(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)
