"""The planner's way of the data, in process: simulated app in Postgres, assets materialised, every planted fault accounted for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pyarrow.parquet as pq
import pytest

from platform_assets.core import dataset as dataset_folder
from platform_assets.core.lake import Address, Lake
from platform_assets.core.settings import Settings
from platform_assets.core.tracking import Tracking
from platform_assets.orchestration import partitions
from platform_assets.orchestration.automation import end_mlflow_runs_since
from platform_assets.orchestration.resources import EngineResource, LakeResource, MlflowResource, SourceResource
from platform_assets.planner.assets.common import DATASET, ENRICHED_PLANS, EVENTS, QUARANTINED_EVENTS, address
from platform_assets.planner.assets.sensors import changed_source_days, late_data
from platform_assets.planner.definitions import build
from platform_assets.planner.limits import Limits
from platform_assets.simulators.meal_app import Faults, Scenario, late_event, load, simulate
from platform_assets_tests.lake_stores import Server
from platform_assets_tests.postgres import new_database

START, END = date(2026, 1, 2), date(2026, 1, 16)
DAYS = partitions.days_in(START, END - timedelta(days=1))
WEEKS = ("2026-01-02", "2026-01-09")
FAULTS = Faults(
    late=0.02, resent=0.02, malformed_payload=0.02, missing_policy_version_id=0.01, missing_experiment_id=0.01,
    missing_variant_id=0.01, unknown_event_type=0.01, unknown_household=0.01, clock_skew=0.01, malformed_pantry=0.02,
)  # fmt: skip


@dataclass
class Platform:
    """A filled platform of one test module."""

    settings: Settings
    resources: Mapping[str, object]
    instance: dg.DagsterInstance
    url: str
    truth: list[dict]
    limits: Limits

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake_url)

    def run(self, job: str, first: str, last: str | None = None) -> dg.ExecuteInProcessResult:
        """Run a job for one partition or a range; failures come back as results."""
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last} if last else {}
        definition = build(self.settings, self.resources, self.limits).resolve_job_def(job)
        return definition.execute_in_process(
            instance=self.instance, tags=tags, partition_key=None if last else first, raise_on_error=False
        )

    def rows(self, where: Address, name: str) -> list[dict]:
        """Rows of a published file."""
        revision = self.lake.current(where)
        assert revision, where
        return pq.read_table(self.lake.fetch(revision, name, self.settings.home)).to_pylist()


@pytest.fixture(scope="module")
def platform(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    home = tmp_path_factory.mktemp("home")
    url, mlflow_url = new_database(postgres_server, "migrated"), new_database(postgres_server, "template1")
    uri = mlflow_url.replace("postgresql://", "postgresql+psycopg://", 1)
    Tracking(uri).create_experiments(home / "mlflow")
    settings = replace(
        Settings.from_environment({"PLATFORM_HOME": str(home)}),
        planner_start=START, planner_end=END, planner_minimum_rows=50, source_url=url, warehouse_url=url,
    )  # fmt: skip
    world = simulate(Scenario(seed=5, households=120, start=START, weeks=2, faults=FAULTS))
    load(world, url)
    resources = {
        "lake": LakeResource(url=settings.lake_url), "engine": EngineResource(scratch=str(home / "scratch")),
        "source": SourceResource(url=url), "mlflow": MlflowResource(tracking_uri=uri),
    }  # fmt: skip
    with dg.DagsterInstance.ephemeral(tempdir=str(home)) as instance:
        found = Platform(
            settings, resources, instance, url, world.ground_truth.to_pylist(), Limits(quarantine_share=0.5)
        )
        for job, first, last in (("planner_days", DAYS[0], DAYS[-1]), ("planner_weeks", WEEKS[0], WEEKS[-1])):
            result = found.run(job, first, last)
            assert result.success, [event.message for event in result.all_events if event.is_failure]
        yield found


def test_rows_in_postgres_are_rows_kept_plus_rows_quarantined_on_every_day(platform: Platform) -> None:
    with psycopg.connect(platform.url) as connection:
        total = connection.execute("SELECT count(*) FROM exp.events").fetchone()
    kept = sum(len(platform.rows(address(EVENTS, day), "events.parquet")) for day in DAYS)
    refused = sum(len(platform.rows(address(QUARANTINED_EVENTS, day), "quarantined_events.parquet")) for day in DAYS)
    assert total == (kept + refused,)
    assert refused > 50


def test_every_planted_fault_of_an_event_ends_where_the_truth_says(platform: Platform) -> None:
    quarantined = {
        row["event_id"]: row["rule"]
        for day in DAYS
        for row in platform.rows(address(QUARANTINED_EVENTS, day), "quarantined_events.parquet")
    }
    kept = {row["event_id"]: day for day in DAYS for row in platform.rows(address(EVENTS, day), "events.parquet")}
    planted = [fault for fault in platform.truth if fault["event_id"]]
    expected = {fault["event_id"]: fault["rule"] for fault in planted if fault["expected"] == "quarantined_events"}
    assert quarantined == expected
    assert {fault["rule"] for fault in planted} >= {
        "resent_event", "malformed_payload", "unknown_event_type", "missing_policy_version_id", "missing_experiment_id",
        "missing_variant_id", "clock_skew", "late_event", "unknown_household",
    }  # fmt: skip
    late = [fault for fault in planted if fault["rule"] == "late_event"]
    assert late
    assert all(kept[fault["event_id"]] == fault["day"].isoformat() for fault in late)


def test_every_planted_fault_of_a_household_or_a_pantry_ends_among_the_excluded_plans(platform: Platform) -> None:
    excluded = {
        row["plan_id"]: row["reason"]
        for day in DAYS
        for row in platform.rows(address(ENRICHED_PLANS, day), "excluded_plans.parquet")
    }
    enriched = {
        row["plan_id"] for day in DAYS for row in platform.rows(address(ENRICHED_PLANS, day), "enriched_plans.parquet")
    }
    accepted = enriched | excluded.keys()
    for rule in ("unknown_household", "malformed_pantry"):
        planted = {fault["plan_id"] for fault in platform.truth if fault["rule"] == rule} & accepted
        found = {plan for plan, reason in excluded.items() if reason == rule}
        assert found == {
            plan for plan in planted if excluded.get(plan) not in ("generation_missing", "already_accepted")
        }
        assert found, rule


def test_a_dataset_has_the_documented_folder_and_shape(platform: Platform) -> None:
    for week in WEEKS:
        folder = Path(platform.settings.lake_url) / "datasets" / "planner" / partitions.dataset_date(week)
        assert {path.name for path in folder.iterdir()} >= {
            "training.parquet",
            "schema.json",
            "dataset_summary.md",
            "manifest.json",
        }
        rows = platform.rows(address(DATASET, week), dataset_folder.TRAINING)
        assert set(rows[0]) == {"input", "target", "metadata"}
        start, end = (datetime.fromisoformat(key).replace(tzinfo=UTC) for key in (week, partitions.dataset_date(week)))
        assert all(start <= row["metadata"]["accepted_at"] < end for row in rows)
        assert all(row["metadata"]["timestamp"] <= row["metadata"]["accepted_at"] for row in rows)
        summary = (folder / "dataset_summary.md").read_text()
        assert f"**Rows**: {len(rows)}" in summary
        assert "generation_missing" in summary
        assert "Every source is point-in-time" in summary


def test_a_dataset_is_registered_in_mlflow_and_its_runs_end(platform: Platform) -> None:
    tracking = Tracking(platform.resources["mlflow"].resolve_uri())  # type: ignore[attr-defined]
    runs = {
        run.data.tags["dagster_partition"]: run
        for run in tracking.client.search_runs([tracking.experiment_id("planner_training")])
        if "dagster_partition" in run.data.tags
    }
    for week in WEEKS:
        revision = platform.lake.current(address(DATASET, week))
        assert revision
        run = runs[week]
        assert run.info.status == "FINISHED"
        assert run.data.tags["dataset_version"] == partitions.dataset_date(week)
        assert run.data.tags["digest"] == revision.digest
        assert run.data.metrics["row_count"] == revision.rows
        assert "schema.json" in {item.path for item in tracking.client.list_artifacts(run.info.run_id)}
        assert [entry.dataset.digest for entry in run.inputs.dataset_inputs] == [revision.digest]
    ended = end_mlflow_runs_since(platform.instance, platform.resources["mlflow"], 0.0)  # type: ignore[arg-type]
    assert all(
        run.info.status != "RUNNING"
        for run in tracking.client.search_runs([tracking.experiment_id("planner_training")])
    )
    assert end_mlflow_runs_since(platform.instance, platform.resources["mlflow"], ended.cursor).closed == {}  # type: ignore[arg-type]


def test_a_rerun_of_unchanged_days_and_weeks_writes_nothing(platform: Platform) -> None:
    before = {day: platform.lake.current(address(ENRICHED_PLANS, day)) for day in DAYS[:2]}
    week = platform.lake.current(address(DATASET, WEEKS[0]))
    assert platform.run("planner_days", DAYS[0], DAYS[1]).success
    assert platform.run("planner_weeks", WEEKS[0]).success
    assert {day: platform.lake.current(address(ENRICHED_PLANS, day)) for day in DAYS[:2]} == before
    assert platform.lake.current(address(DATASET, WEEKS[0])) == week


def test_no_published_day_differs_from_postgres_until_a_late_event_arrives(platform: Platform) -> None:
    lake, source = platform.resources["lake"], platform.resources["source"]
    assert changed_source_days(platform.settings, lake, source) == {}  # type: ignore[arg-type]
    with psycopg.connect(platform.url) as connection:
        connection.execute(
            "INSERT INTO exp.events (event_type, unit_type, unit_id, payload, timestamp) VALUES "
            "('plan_dreamt', 'household', 'x', '{}', '2026-01-05 12:00+00')"
        )
    try:
        changed = changed_source_days(platform.settings, lake, source)  # type: ignore[arg-type]
        assert set(changed) == {"2026-01-05"}
    finally:
        with psycopg.connect(platform.url) as connection:
            connection.execute("DELETE FROM exp.events WHERE event_type = 'plan_dreamt'")


def test_a_day_whose_events_are_all_gone_is_told_of_and_not_emptied(platform: Platform) -> None:
    day = "timestamp >= '2026-01-05' AND timestamp < '2026-01-06'"
    resources = {"lake": platform.resources["lake"], "source": platform.resources["source"]}
    with psycopg.connect(platform.url) as connection:
        connection.execute(f"CREATE TABLE kept AS SELECT * FROM exp.events WHERE {day}")
        connection.execute(f"DELETE FROM exp.events WHERE {day}")
    try:
        with (
            dg.DagsterInstance.ephemeral() as instance,
            dg.build_sensor_context(instance, resources=resources) as context,
        ):
            told = late_data(platform.settings, "planner_extraction").evaluate_tick(context)
        assert not told.run_requests
        assert "2026-01-05, which were published with events" in (told.skip_message or "")
    finally:
        with psycopg.connect(platform.url) as connection:
            connection.execute("INSERT INTO exp.events SELECT * FROM kept")
            connection.execute("DROP TABLE kept")


def test_an_incomplete_week_is_refused_with_the_names_of_its_missing_days(platform: Platform, tmp_path: Path) -> None:
    settings = replace(platform.settings, lake_url=str(tmp_path / "lake"))
    other = replace(
        platform, settings=settings, resources={**platform.resources, "lake": LakeResource(url=settings.lake_url)}
    )
    assert other.run("planner_days", DAYS[0], DAYS[4]).success
    result = other.run("planner_weeks", WEEKS[0])
    assert not result.success
    messages = " ".join(str(event.event_specific_data) for event in result.all_events if event.is_step_failure)
    assert f"{DAYS[5]}, {DAYS[6]}" in messages


def test_a_failed_blocking_check_of_a_day_stops_its_week_even_by_hand(platform: Platform, tmp_path: Path) -> None:
    settings = replace(platform.settings, lake_url=str(tmp_path / "lake"))
    other = replace(
        platform, settings=settings, resources={**platform.resources, "lake": LakeResource(url=settings.lake_url)}
    )
    with psycopg.connect(platform.url) as connection:  # a day of garbage: the quarantine's share passes its limit
        connection.execute(
            "INSERT INTO exp.events (event_type, unit_type, unit_id, payload, timestamp) "
            "SELECT 'plan_dreamt', 'household', 'x', '{}', '2026-01-04 12:00+00' FROM generate_series(1, 400)"
        )
    try:
        assert not other.run("planner_days", "2026-01-02", "2026-01-04").success
        assert other.lake.current(address(ENRICHED_PLANS, "2026-01-04")) is None
        result = other.run("planner_enrichment", "2026-01-04")
        messages = " ".join(str(event.event_specific_data) for event in result.all_events if event.is_step_failure)
        assert "quarantine_share" in messages
    finally:
        with psycopg.connect(platform.url) as connection:
            connection.execute("DELETE FROM exp.events WHERE event_type = 'plan_dreamt'")


@pytest.mark.parametrize("store", ["rclone", "moto"])
def test_the_same_rows_have_the_same_digests_in_a_lake_on_s3(
    platform: Platform, store: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: Server = request.getfixturevalue(store)
    url = server.use(monkeypatch)
    resources = {**platform.resources, "lake": LakeResource(url=url, single_writer=server.single_writer)}
    other = replace(platform, settings=replace(platform.settings, lake_url=url), resources=resources)
    assert other.run("planner_days", DAYS[0], DAYS[6]).success
    assert other.run("planner_weeks", WEEKS[0]).success
    lake = Lake(url, single_writer=server.single_writer)
    for where in (*(address(ENRICHED_PLANS, day) for day in DAYS[:7]), address(DATASET, WEEKS[0])):
        here, there = lake.current(where), platform.lake.current(where)
        assert here
        assert there
        assert here.digest == there.digest


def test_a_change_is_followed_even_when_the_run_that_published_it_told_nobody(platform: Platform) -> None:
    day = DAYS[4]
    late_event(platform.url, date.fromisoformat(day), "plan")

    def affected() -> object:
        assert platform.run("planner_extraction", day).success
        records = platform.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=EVENTS, asset_partitions=[day]), limit=1
        ).records
        assert records[0].asset_materialization
        return records[0].asset_materialization.metadata["affected_days"].value

    assert affected() == [day]
    assert affected() == [day], "as long as the enriched day was made from other events"
    assert platform.run("planner_enrichment", day).success
    assert affected() == []


def test_a_week_is_refused_while_a_day_of_events_fails_its_checks_even_if_an_older_enriched_day_is_fine(
    platform: Platform,
) -> None:
    with psycopg.connect(platform.url) as connection:
        connection.execute(
            "INSERT INTO exp.events (event_type, unit_type, unit_id, payload, timestamp) "
            "SELECT 'plan_dreamt', 'household', 'x', '{}', '2026-01-12 12:00+00' FROM generate_series(1, 400)"
        )
    assert not platform.run("planner_extraction", "2026-01-12").success
    result = platform.run("planner_weeks", WEEKS[1])
    messages = " ".join(str(event.event_specific_data) for event in result.all_events if event.is_step_failure)
    assert "planner/events of 2026-01-12 failed a blocking check (quarantine_share" in messages
