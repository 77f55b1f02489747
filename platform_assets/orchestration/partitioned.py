"""Runs an asset over one partition or a range of them, and reports each partition as if it had been alone.

A range run is one Dagster run with one result for all its partitions; the framework would give each of them the same data
version, and their checks no partition at all. Here every partition gets its own metadata, check evaluations and data
version (its digest), which is what automation and staleness compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
        targets = _newest(context, asset, items)
        for key, item in items.items():
            for event in _evaluations(asset, key, item, declared, targets[key]):
                context.log_event(event)  # pyright: ignore[reportArgumentType] - accepted at run time, missing in the hint
    _let_checks_count(context, done, declared)


def _let_checks_count(
    context: dg.AssetExecutionContext, done: Mapping[str, Sequence[Produced]], declared: Sequence[checks.Check]
) -> None:
    """Report this run's evaluations once more where those of another run, planned before this one ended, hide them.

    Dagster goes by the plan that was made last. Of two runs of a partition that were planned together, as by a backfill and by
    automation, the one planned last may come first, or be cancelled in the queue: its plan then hides what was found of the newest
    materialisation, the check counts as open for ever, and the gates stay closed. What belongs to no run counts from its report.
    Only of the materialisation that is the newest at that moment: the run that made a newer one looks for itself.
    """
    for asset, items in _by_asset(done).items():
        names = {outcome.name for item in items.values() for outcome in item.outcomes}
        if not names:
            continue
        keys = [dg.AssetCheckKey(asset, name) for name in names]
        found = context.instance.event_log_storage.get_asset_check_partition_info(keys, partition_keys=list(items))
        hidden = {
            (each.partition_key, each.check_key.name) for each in found if each.latest_planned_run_id != context.run_id
        }
        for key in sorted({partition for partition, _ in hidden if partition}):
            target = _newest(context, asset, [key])[key]
            if target.run_id == context.run_id:
                for event in _evaluations(asset, key, items[key], declared, target):
                    if (key, event.check_name) in hidden:
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


def _newest(context: dg.AssetExecutionContext, asset: dg.AssetKey, keys: Iterable[str]) -> dict[str, dg.EventLogRecord]:
    """Each partition's newest materialisation: mostly the last ones there are, unless another run writes beside this one."""
    wanted = list(keys)
    newest: dict[str, dg.EventLogRecord] = {}
    for asked in (wanted, *([key] for key in wanted)):
        if any(key not in newest for key in asked):
            filters = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=asked)
            for record in context.instance.fetch_materializations(filters, limit=len(asked)).records:
                newest.setdefault(record.partition_key or "", record)
    return newest


def _evaluations(
    asset: dg.AssetKey, key: str, item: Produced, declared: Sequence[checks.Check], target: dg.EventLogRecord
) -> Iterator[dg.AssetCheckEvaluation]:
    blocking = {check.name for check in declared if check.blocking}
    for outcome in item.outcomes:
        yield checks.evaluation(asset, key, outcome, outcome.name in blocking, target)
