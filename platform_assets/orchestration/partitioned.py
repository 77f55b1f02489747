"""Runs an asset over one partition or a range of them, and reports each partition as if it had been alone.

A range run is one Dagster run with one result for all its partitions; the framework would give each of them the same data
version, and their checks no partition at all. Here every partition gets its own metadata, check evaluations and data
version (its digest), which is what automation and staleness compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from platform_assets.core.lake import Publication
from platform_assets.core.quality import Outcome
from platform_assets.orchestration import checks, failures
from platform_assets.orchestration.event_log import quick_event_log

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
DATA_VERSION = "dagster/data_version"
DATA_VERSION_IS_USER_PROVIDED = "dagster/data_version_is_user_provided"
Event = dg.MaterializeResult | dg.AssetCheckResult


@dataclass(frozen=True)
class Produced:
    """What one partition of one asset became."""

    asset: dg.AssetKey
    publication: Publication
    metadata: Mapping[str, Any]
    outcomes: Sequence[Outcome] = field(default_factory=tuple)


def run_partitions(
    context: dg.AssetExecutionContext,
    produce: Callable[[str], Sequence[Produced]],
    declared: Sequence[checks.Check] = (),
) -> Iterator[Event]:
    """Produce every partition of the run and yield what Dagster expects.

    `produce` publishes one partition and returns one Produced per asset of the step. Partitions that were done before a
    failure are reported. Only failures that a later try may mend are retried (`orchestration.failures`).
    """
    try:
        with quick_event_log():
            yield from _run(context, produce, declared)
    except Exception as error:
        failure = failures.to_step_failure(error, context.retry_number)
        if failure is error:
            raise
        context.log.warning(str(error))
        raise failure from error


def _run(
    context: dg.AssetExecutionContext, produce: Callable[[str], Sequence[Produced]], declared: Sequence[checks.Check]
) -> Iterator[Event]:
    # By the tag, not by the number of keys: for a range of one day the framework drops its checks' partition, too.
    if RANGE_START not in context.run.tags:
        key = context.partition_keys[0]
        alone = produce(key)
        yield from _single(alone)
        _let_checks_count(context, {key: alone}, declared)
        return
    done: dict[str, Sequence[Produced]] = {}
    try:
        for position, key in enumerate(context.partition_keys, 1):
            done[key] = produce(key)
            moved = any(item.publication.pointer_moved for item in done[key])
            context.log.info(
                f"{key}: {'published' if moved else 'unchanged'}, {position} of {len(context.partition_keys)} partitions"
            )
    except BaseException:
        _record_partitions(context, done, declared)
        raise
    yield from _range_results(done)
    # After the results, whose events carry no partition's own digest: the last event of a partition is the one that counts.
    _record_partitions(context, done, declared)


def _single(produced: Sequence[Produced]) -> Iterator[Event]:
    for item in produced:
        yield dg.MaterializeResult(
            asset_key=item.asset,
            metadata=item.metadata,
            data_version=dg.DataVersion(item.publication.revision.digest),
            check_results=[checks.result(item.asset, outcome) for outcome in item.outcomes],
        )


def _range_results(done: Mapping[str, Sequence[Produced]]) -> Iterator[Event]:
    first = next(iter(done.values()))
    for position, item in enumerate(first):
        by_check: dict[str, dict[str, Outcome]] = {}
        for key, produced in done.items():
            for outcome in produced[position].outcomes:
                by_check.setdefault(outcome.name, {})[key] = outcome
        yield dg.MaterializeResult(
            asset_key=item.asset,
            metadata={"range": f"{next(iter(done))} to {list(done)[-1]}; each partition's own record follows"},
            check_results=[checks.summary(item.asset, name, outcomes) for name, outcomes in by_check.items()],
        )


def _record_partitions(
    context: dg.AssetExecutionContext, done: Mapping[str, Sequence[Produced]], declared: Sequence[checks.Check]
) -> None:
    """Each partition's own materialisation, then its checks, aimed at that materialisation.

    Aimed, because a partitioned check counts only for the materialisation whose id it names: logged before it, or without
    the id, it leaves the partition unchecked forever and the gates closed.
    """
    for key, produced in done.items():
        for item in produced:
            context.log_event(_materialization(item, key))
    for asset, items in _by_asset(done).items():
        for event in _evaluations(context, asset, items, declared):
            context.log_event(event)  # pyright: ignore[reportArgumentType] - accepted at run time, missing in the hint
    _let_checks_count(context, done, declared)


def _let_checks_count(
    context: dg.AssetExecutionContext, done: Mapping[str, Sequence[Produced]], declared: Sequence[checks.Check]
) -> None:
    """Report this run's evaluations once more where those of another run hide them.

    Dagster goes by the plan that was made last. Of two runs of a partition that were planned together, as by a backfill and by
    automation, the one planned last may come first, or be cancelled in the queue: its plan then hides what was found of the newest
    materialisation, the check counts as open for ever, and the gates stay closed. What belongs to no run counts from its report.
    """
    for asset, items in _by_asset(done).items():
        keys = [
            dg.AssetCheckKey(asset, name) for name in {each.name for item in items.values() for each in item.outcomes}
        ]
        found = context.instance.event_log_storage.get_asset_check_partition_info(keys, partition_keys=list(items))
        hidden = {
            (each.check_key.name, each.partition_key) for each in found if each.latest_planned_run_id != context.run_id
        }
        if hidden:
            for event in _evaluations(context, asset, items, declared, context.run_id):
                if (event.check_name, event.partition) in hidden:
                    context.instance.report_runless_asset_event(event)


def _by_asset(done: Mapping[str, Sequence[Produced]]) -> dict[dg.AssetKey, dict[str, Produced]]:
    found: dict[dg.AssetKey, dict[str, Produced]] = {}
    for key, produced in done.items():
        for item in produced:
            found.setdefault(item.asset, {})[key] = item
    return found


def _materialization(item: Produced, key: str) -> dg.AssetMaterialization:
    digest = item.publication.revision.digest
    tags = {DATA_VERSION: digest, DATA_VERSION_IS_USER_PROVIDED: "true"}
    return dg.AssetMaterialization(item.asset, partition=key, metadata=item.metadata, tags=tags)


def _evaluations(
    context: dg.AssetExecutionContext, asset: dg.AssetKey, items: Mapping[str, Produced],
    declared: Sequence[checks.Check], of_run: str | None = None,
) -> Iterator[dg.AssetCheckEvaluation]:  # fmt: skip
    """Of each partition's newest materialisation; only where that is of this run, if one is named."""
    if not any(item.outcomes for item in items.values()):
        return
    blocking = {check.name for check in declared if check.blocking}
    filters = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=list(items))
    records = context.instance.fetch_materializations(filters, limit=len(items)).records
    targets = {record.partition_key: record for record in records if of_run in (None, record.run_id)}
    for key, item in items.items():
        for outcome in item.outcomes:
            if key in targets or of_run is None:
                yield checks.evaluation(asset, key, outcome, outcome.name in blocking, targets[key])
