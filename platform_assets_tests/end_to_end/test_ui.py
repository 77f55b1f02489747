"""A real web server, daemon and browser: what a person does in the UI, what the daemon makes of it, what the pages show.

One story on one deployment, in the order of the file; each fixture is one thing that happened, and the tests after it say
what must be seen: a partition launched, a backfill, a broken day that blocks its week, a late event, the day mended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import dagster as dg
import psycopg
import pyarrow.parquet as pq
import pytest

from platform_assets.core.services import embedded_tracking_uri
from platform_assets.core.tracking import Tracking
from platform_assets.orchestration import partitions
from platform_assets.planner.assets.common import DATASET, ENRICHED_PLANS, EVENTS, QUARANTINED_EVENTS, address
from platform_assets.simulators.meal_app import Scenario, late_event, load, simulate
from platform_assets_tests.end_to_end import browser, ui_requests
from platform_assets_tests.end_to_end.deployment import DAEMON, Deployment, deployed, web_server

START, END, WEEKS = date(2026, 1, 2), date(2026, 1, 16), 2
FIRST_DAY, *BACKFILLED_DAYS, BROKEN_DAY = partitions.days_in(START, date(2026, 1, 15))
FIRST_WEEK, SECOND_WEEK = "2026-01-02", "2026-01-09"
LATE_DAY = date(2026, 1, 6)
ALL = (EVENTS, QUARANTINED_EVENTS, ENRICHED_PLANS, DATASET)
PATIENCE_SECONDS = 600  # a loaded machine; an idle one needs a tenth
Materializations = Counter[tuple[str, str]]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@dataclass(frozen=True)
class Late:
    """A late plan, and what stood before it came."""

    plan_id: str
    before: Materializations
    plans: set[str]


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    with deployed(START, END, minimum_rows=10) as running:
        load(simulate(Scenario(seed=3, households=60, start=START, weeks=WEEKS)), running.source_url)
        running.start(web_server(running), DAEMON)
        yield running


@pytest.fixture(scope="module")
def window(deployment: Deployment) -> Iterator[browser.Window]:
    if browser.find_chromium() is None:
        pytest.skip(browser.NO_CHROMIUM)
    with browser.opened(f"http://127.0.0.1:{deployment.port}") as found:
        yield found


@pytest.fixture(scope="module")
def first(deployment: Deployment) -> tuple[str, str]:
    """The first day is launched by hand; returns the run's status and what failed."""
    return ui_requests.run_to_its_end(deployment, "planner_days", FIRST_DAY)


@pytest.fixture(scope="module")
def filled(deployment: Deployment, first: tuple[str, str]) -> str:
    """A backfill of the events of all days between the first and the last; returns COMPLETED_SUCCESS, or what failed."""
    # Not enriched_plans with them: Dagster would follow its look-back to the days after, and the last has no events yet.
    backfill = deployment.launch_backfill((EVENTS, QUARANTINED_EVENTS), BACKFILLED_DAYS)

    def ended() -> str | None:
        status = ui_requests.backfill_status(deployment, backfill)
        return None if status == "REQUESTED" else status

    status = deployment.wait_for("the end of the backfill", ended, PATIENCE_SECONDS)
    return status if status == "COMPLETED_SUCCESS" else ui_requests.backfill_failures(deployment, backfill)


@pytest.fixture(scope="module")
def broken(deployment: Deployment, filled: str) -> str:
    """400 events that no contract knows fall on the last day, which is then launched by hand; returns the run's status."""
    with psycopg.connect(deployment.source_url) as connection:
        connection.execute(
            "INSERT INTO exp.events (event_type, unit_type, unit_id, payload, timestamp) "
            "SELECT 'plan_dreamt', 'household', 'x', '{}', %s::timestamptz FROM generate_series(1, 400)",
            [f"{BROKEN_DAY} 12:00+00"],
        )
    return ui_requests.run_to_its_end(deployment, "planner_days", BROKEN_DAY)[0]


@pytest.fixture(scope="module")
def late(deployment: Deployment, broken: str) -> Late:
    """A plan of the first week that is recorded now."""
    deployment.wait_for("the first week", lambda: _is_materialized(deployment, FIRST_WEEK), PATIENCE_SECONDS)
    before = deployment.materializations(*ALL)
    plans = _plans(deployment, FIRST_WEEK)
    return Late(late_event(deployment.source_url, LATE_DAY, "plan").plan_id, before, plans)


@pytest.fixture(scope="module")
def followed(deployment: Deployment, late: Late) -> None:
    """Everything that the late plan brought about is over; a check whose run goes on is neither passed nor failed."""
    deployment.wait_for(
        "the late plan in its dataset", lambda: late.plan_id in _plans(deployment, FIRST_WEEK), PATIENCE_SECONDS
    )
    ui_requests.wait_until_nothing_is_requested(deployment)


@pytest.fixture(scope="module")
def mended(deployment: Deployment, followed: None) -> None:
    """The broken events are deleted in Postgres; nothing else is done by hand."""
    with psycopg.connect(deployment.source_url) as connection:
        connection.execute("DELETE FROM exp.events WHERE event_type = 'plan_dreamt'")
    deployment.wait_for("the second week", lambda: _is_materialized(deployment, SECOND_WEEK), PATIENCE_SECONDS)


def test_a_partition_launched_by_hand_is_materialised_and_passes_its_checks(
    deployment: Deployment, first: tuple[str, str]
) -> None:
    assert first == ("SUCCESS", "")
    for asset, count in ((EVENTS, 5), (ENRICHED_PLANS, 4)):
        assert ui_requests.partition_statuses(deployment, asset) == {FIRST_DAY: "MATERIALIZED"}
        assert _passed(deployment, asset, FIRST_DAY) == count


def test_a_backfill_fills_its_days_and_automation_enriches_them_each_with_its_own_checks(
    deployment: Deployment, filled: str
) -> None:
    assert filled == "COMPLETED_SUCCESS"
    expected = dict.fromkeys([FIRST_DAY, *BACKFILLED_DAYS], "MATERIALIZED")
    assert ui_requests.partition_statuses(deployment, EVENTS) == expected
    deployment.wait_for(
        "the enriched days",
        lambda: ui_requests.partition_statuses(deployment, ENRICHED_PLANS) == expected,
        PATIENCE_SECONDS,
    )
    for asset, day in ((EVENTS, BACKFILLED_DAYS[0]), (ENRICHED_PLANS, BACKFILLED_DAYS[-1])):
        deployment.wait_for(f"the checks of {asset} {day}", lambda a=asset, d=day: _passed(deployment, a, d), 60)


def test_a_failed_check_of_a_day_refuses_its_week_by_day_and_check(deployment: Deployment, broken: str) -> None:
    assert broken == "FAILURE"
    checks = ui_requests.check_statuses(deployment, EVENTS, BROKEN_DAY)
    assert {name for name, status in checks.items() if status != "SUCCEEDED"} == {"quarantine_share"}
    assert checks["quarantine_share"] == "FAILED"
    assert ui_requests.partition_statuses(deployment, ENRICHED_PLANS).get(BROKEN_DAY) != "MATERIALIZED"
    status, reason = ui_requests.run_to_its_end(deployment, "planner_weeks", SECOND_WEEK)
    assert status == "FAILURE"
    assert f"planner/events of {BROKEN_DAY} failed a blocking check (quarantine_share" in reason


def test_the_asset_graph_shows_every_asset_of_the_planner(window: browser.Window, late: Late, tmp_path: Path) -> None:
    browser.open_asset_graph(window, 9, "4 / 5 Passed", "14 partitions", "2 partitions", "50% filled (1 failed)")
    window.screenshot(tmp_path / "graph.png")
    window.expect_health()


def test_the_page_of_a_partition_shows_its_metadata(window: browser.Window, late: Late, tmp_path: Path) -> None:
    browser.open_partition(window, "planner/events", FIRST_DAY, "source_rows", "source_watermark", "quarantined")
    window.screenshot(tmp_path / "partition.png")
    window.expect_health()


def test_a_late_event_reaches_its_week_and_nothing_else_and_the_blocked_week_is_not_built(
    deployment: Deployment, late: Late, followed: None
) -> None:
    changed = deployment.materializations(*ALL) - late.before
    day = LATE_DAY.isoformat()
    assert dict(changed) == {
        (EVENTS.to_user_string(), day): 1,
        (QUARANTINED_EVENTS.to_user_string(), day): 1,
        (ENRICHED_PLANS.to_user_string(), day): 1,
        (DATASET.to_user_string(), FIRST_WEEK): 1,
    }
    assert _plans(deployment, FIRST_WEEK) == late.plans | {late.plan_id}
    assert ui_requests.partition_statuses(deployment, DATASET) == {FIRST_WEEK: "MATERIALIZED", SECOND_WEEK: "FAILED"}


def test_the_page_of_a_failed_check_says_of_which_day_and_why(
    window: browser.Window, followed: None, tmp_path: Path
) -> None:
    browser.open_check(window, "planner/events", "quarantine_share", BROKEN_DAY, "Failed", "Failed (1)", "Passed (13)")
    browser.expect(window.page.get_by_text("events refused by a rule: 400 of")).to_contain_text("limit 5.00%")
    window.screenshot(tmp_path / "failed_check.png")
    browser.open_check(window, "planner/events", "unique_event_ids", BROKEN_DAY, "Passed", "Passed (14)")
    window.expect_health()


def test_a_mended_day_is_extracted_and_enriched_again_and_its_week_follows(
    deployment: Deployment, mended: None
) -> None:
    assert _passed(deployment, EVENTS, BROKEN_DAY)
    statuses = ui_requests.partition_statuses(deployment, DATASET)
    assert statuses == {FIRST_WEEK: "MATERIALIZED", SECOND_WEEK: "MATERIALIZED"}


def test_the_drift_plot_of_a_week_is_drawn_in_the_page(window: browser.Window, mended: None, tmp_path: Path) -> None:
    image = browser.open_drift_plot(window, SECOND_WEEK)
    assert image.evaluate("image => image.complete && image.naturalWidth") > 800
    window.screenshot(tmp_path / "drift_plot.png")
    browser.close_dialog(window)
    window.expect_health()


def test_every_mlflow_run_of_the_weeks_ended(deployment: Deployment, mended: None) -> None:
    tracking = Tracking(embedded_tracking_uri(deployment.settings))
    runs = tracking.client.search_runs([tracking.experiment_id("planner_training")])
    weeks = Counter(run.data.tags["dagster_partition"] for run in runs if "dagster_partition" in run.data.tags)
    assert weeks == {FIRST_WEEK: 2, SECOND_WEEK: 1}
    assert {run.info.status for run in runs} == {"FINISHED"}


def _is_materialized(deployment: Deployment, week: str) -> bool:
    return ui_requests.partition_statuses(deployment, DATASET).get(week) == "MATERIALIZED"


def _passed(deployment: Deployment, asset: dg.AssetKey, partition: str) -> int:
    """How many checks of a partition passed, 0 unless all did."""
    statuses = ui_requests.check_statuses(deployment, asset, partition)
    return len(statuses) if set(statuses.values()) == {"SUCCEEDED"} else 0


def _plans(deployment: Deployment, week: str) -> set[str]:
    """The plans of a week's dataset, none while it is not built."""
    revision = deployment.lake.current(address(DATASET, week))
    if revision is None:
        return set()
    path = deployment.lake.fetch(revision, "training.parquet", deployment.home)
    return {row["plan_id"] for row in pq.read_table(path, columns=["metadata"])["metadata"].to_pylist()}
