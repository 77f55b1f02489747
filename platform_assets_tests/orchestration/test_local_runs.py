"""Runs of a range in this process: on the instance that is given, and loud when they fail."""

from pathlib import Path

import dagster as dg
import pytest

from platform_assets.orchestration.local_runs import RunFailed, run_range

DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-06")


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def numbers(context: dg.AssetExecutionContext) -> None:
    if "2026-01-04" in context.partition_keys:
        raise ValueError("the source has no fourth day")


class Size(dg.Config):
    rows: int = 1


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def sized(config: Size) -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"rows": config.rows})


DEFINITIONS = dg.Definitions(
    assets=[numbers, sized],
    jobs=[dg.define_asset_job(job, selection=[asset]) for job, asset in (("count", "numbers"), ("measure", "sized"))],
    executor=dg.in_process_executor,
)


def test_a_range_is_one_run_over_all_its_partitions_on_the_given_instance(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        run_range(DEFINITIONS, "count", "2026-01-01", "2026-01-03", instance)
        assert len(instance.get_runs()) == 1
        assert instance.get_materialized_partitions(numbers.key) == {"2026-01-01", "2026-01-02", "2026-01-03"}


def test_a_failed_run_is_an_error_that_names_its_cause(tmp_path: Path) -> None:
    failing = pytest.raises(RunFailed, match=r"count failed.*no fourth day")
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance, failing:
        run_range(DEFINITIONS, "count", "2026-01-03", "2026-01-05", instance)


@pytest.mark.parametrize(("given", "rows"), [(None, 1), ({"ops": {"sized": {"config": {"rows": 7}}}}, 7)])
def test_a_runs_configuration_reaches_its_assets(tmp_path: Path, given: dict[str, object] | None, rows: int) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        run_range(DEFINITIONS, "measure", "2026-01-01", "2026-01-02", instance, given)
        event = instance.get_latest_materialization_event(sized.key)
        assert event
        assert event.asset_materialization
        assert event.asset_materialization.metadata["rows"].value == rows
