"""Postgres, the lake's store and MLflow go away in the middle: what a run says then, and that trying again completes it.

Real services: a Postgres of its own that crashes, moto and MLflow's server behind a proxy that fails.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from platform_assets.core import migrations
from platform_assets.core.tracking import Tracking
from platform_assets.orchestration import failures
from platform_assets.orchestration.automation import end_mlflow_runs_since
from platform_assets.orchestration.resources import LakeResource, MlflowResource, SourceResource
from platform_assets.planner.assets import events
from platform_assets.planner.assets.common import DATASET, ENRICHED_PLANS, EVENTS, QUARANTINED_EVENTS, address
from platform_assets.planner.assets.dataset import EXPERIMENT
from platform_assets_tests.end_to_end.own_services import Postgres, mlflow_runs, own_mlflow, own_postgres
from platform_assets_tests.end_to_end.small_platform import (
    DAYS,
    LARGE_DAY,
    LARGE_ROWS,
    WEEK,
    SmallPlatform,
    attempts,
    small_platform,
    words,
)
from platform_assets_tests.fault_proxy import FOREVER, Fault, FaultProxy, TcpProxy
from platform_assets_tests.lake_stores import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PASSWORD = "very-secret-word"
BUSY_DAY = DAYS[3]
EXTRACTED = [address(key, LARGE_DAY) for key in (EVENTS, QUARANTINED_EVENTS)]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "WAITS_SECONDS", (0.0, 0.0, 0.0))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with own_postgres(PASSWORD) as server:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE application")
            connection.execute("CREATE DATABASE mlflow")
        migrations.upgrade(server.url("application"))
        yield server


@pytest.fixture(scope="module")
def platform(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallPlatform]:
    with small_platform(tmp_path_factory.mktemp("home"), postgres.url("application")) as found:
        result = found.run("planner_days", DAYS[0], DAYS[-1])
        assert result.success, words(result)
        yield found


def in_batch(monkeypatch: pytest.MonkeyPatch, first: Callable[[], Any], again: Callable[[], Any]) -> list[int]:
    """Have `first` called in the middle of the first extraction, `again` in the middle of the second.

    Returns the rows read by then. The rest of the day waits in the server: reading goes batch by batch.
    """
    seen: list[int] = []

    def tell(rows: int) -> None:
        seen.append(rows)

    def progress(context: object, day: str) -> Callable[[int], None]:
        calls.append(day)
        action, done = (first, again)[len(calls) - 1], []

        def tell_once(rows: int) -> None:
            if not done:
                done.append(True)
                tell(rows)
                action()

        return tell_once

    calls: list[str] = []
    monkeypatch.setattr(events, "_progress", progress)
    return seen


@pytest.mark.parametrize("outage", ["restarted", "reset"])
def test_a_day_whose_extraction_lost_postgres_in_the_middle_is_whole_after_its_retry(
    platform: SmallPlatform, postgres: Postgres, outage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = platform.replaced(lake=LakeResource(url=str(tmp_path / "undisturbed")))
    assert undisturbed.run("planner_extraction", LARGE_DAY).success
    with TcpProxy(("127.0.0.1", postgres.port)) as proxy:
        url = replace(postgres, port=proxy.port).url("application")
        disturbed = platform.replaced(lake=LakeResource(url=str(tmp_path / "lake")), source=SourceResource(url=url))

        def lose() -> None:
            if outage == "reset":
                proxy.reset()
            else:
                postgres.crash()
                postgres.start()

        def look() -> None:
            assert set(disturbed.digests(EXTRACTED).values()) == {None}, "half a day was published"

        seen = in_batch(monkeypatch, lose, look)
        result = disturbed.run("planner_extraction", LARGE_DAY)
    assert result.success, words(result)
    assert len(seen) == 2
    assert 0 < seen[0] < LARGE_ROWS
    assert attempts(result) == 2
    assert "is the server running" in words(result)
    assert disturbed.digests(EXTRACTED) == undisturbed.digests(EXTRACTED)
    assert all(len(list((tmp_path / "lake" / where.path / "revisions").iterdir())) == 1 for where in EXTRACTED)
    assert not list((platform.settings.home / "scratch").iterdir())


def test_while_postgres_stays_away_a_run_fails_with_the_remedy_and_the_next_one_completes(
    platform: SmallPlatform, postgres: Postgres, tmp_path: Path
) -> None:
    other = platform.replaced(lake=LakeResource(url=str(tmp_path / "lake")))
    postgres.crash()
    try:
        result = other.run("planner_extraction", DAYS[0])
    finally:
        postgres.start()
    assert not result.success
    assert attempts(result) == 4
    assert "cannot reach postgresql://" in words(result)
    assert "is the server running, and can it be reached from here?" in words(result)
    assert other.lake.current(address(EVENTS, DAYS[0])) is None
    assert other.run("planner_extraction", DAYS[0]).success
    where = [address(EVENTS, DAYS[0])]
    assert other.digests(where) == platform.digests(where)


@dataclass
class Store:
    """moto behind a proxy, and a platform whose lake lies there."""

    proxy: FaultProxy
    platform: SmallPlatform


@pytest.fixture
def store(platform: SmallPlatform, moto: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with FaultProxy(moto.endpoint) as proxy:
        url = moto.use(monkeypatch, AWS_ENDPOINT_URL=proxy.url)
        yield Store(proxy, platform.replaced(lake=LakeResource(url=url)))


def test_a_stores_short_faults_are_survived_without_a_retry_of_the_step(platform: SmallPlatform, store: Store) -> None:
    store.proxy.plan(
        Fault("unavailable", 2, "PUT", "planner/events/.*parquet"), Fault("reset_before", 1, "PUT", "manifest.json"),
        Fault("reset_before", 2, "GET"),
    )  # fmt: skip
    result = store.platform.run("planner_days", DAYS[0])
    assert result.success, words(result)
    assert attempts(result) == 1
    assert store.proxy.left() == 0
    where = [address(key, DAYS[0]) for key in (EVENTS, QUARANTINED_EVENTS, ENRICHED_PLANS)]
    assert store.platform.digests(where) == platform.digests(where)


def test_a_store_that_is_away_during_publication_and_back_at_the_retry_gets_the_whole_day(
    platform: SmallPlatform, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Between the two assets of the step: the quarantined events are published, the events are not.
    fault = Fault("unavailable", FOREVER, "PUT", "planner/events/")
    in_batch(monkeypatch, lambda: store.proxy.plan(fault), store.proxy.plan)
    result = store.platform.run("planner_extraction", BUSY_DAY)
    assert result.success, words(result)
    assert attempts(result) == 2
    assert "check AWS_ENDPOINT_URL and that the store runs" in words(result)
    where = [address(key, BUSY_DAY) for key in (EVENTS, QUARANTINED_EVENTS)]
    assert store.platform.digests(where) == platform.digests(where)


@pytest.mark.parametrize("kind", ["unavailable", "reset_before"])
def test_while_a_store_cannot_be_read_a_run_fails_with_the_remedy_and_the_next_one_completes(
    platform: SmallPlatform, store: Store, kind: Any
) -> None:
    assert store.platform.run("planner_extraction", DAYS[0]).success
    store.proxy.plan(Fault(kind, FOREVER, "GET", r"events\.parquet"))
    result = store.platform.run("planner_enrichment", DAYS[0])
    assert not result.success
    assert attempts(result) == 4
    assert "check AWS_ENDPOINT_URL and that the store runs" in words(result)
    store.proxy.plan()
    assert store.platform.run("planner_enrichment", DAYS[0]).success
    where = [address(ENRICHED_PLANS, DAYS[0])]
    assert store.platform.digests(where) == platform.digests(where)


@dataclass
class MlflowServer:
    """MLflow's own server, behind a proxy."""

    proxy: FaultProxy

    def runs(self, dagster_run_id: str | None = None) -> dict[str, list[str]]:
        return mlflow_runs(Tracking(self.proxy.url), dagster_run_id)


@pytest.fixture(scope="module")
def mlflow_server(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    backend = postgres.url("mlflow").replace("postgresql://", "postgresql+psycopg://", 1)
    with (
        own_mlflow(tmp_path_factory.mktemp("mlflow") / "server", backend) as port,
        FaultProxy(f"http://127.0.0.1:{port}") as proxy,
    ):
        Tracking(proxy.url).create_experiments(None)
        yield MlflowServer(proxy)


@pytest.fixture
def weekly(platform: SmallPlatform, mlflow_server: MlflowServer) -> Iterator[SmallPlatform]:
    """A platform that logs to the server; the week's dataset was never made."""
    yield platform.replaced(mlflow=MlflowResource(tracking_uri=mlflow_server.proxy.url))
    mlflow_server.proxy.plan()
    shutil.rmtree(Path(platform.settings.lake_url) / "datasets", ignore_errors=True)


def test_while_mlflow_is_away_a_week_fails_with_the_remedy_and_is_registered_once_when_it_is_back(
    weekly: SmallPlatform, mlflow_server: MlflowServer
) -> None:
    before = len(mlflow_server.runs()["week"])
    mlflow_server.proxy.refuse()
    try:
        result = weekly.run("planner_weeks", WEEK)
    finally:
        mlflow_server.proxy.accept()
    assert not result.success
    assert attempts(result) == 4
    assert f"MLflow at {mlflow_server.proxy.url} does not answer" in words(result)
    assert "is the server running, and is MLFLOW_TRACKING_URI right?" in words(result)
    assert len(mlflow_server.runs()["week"]) == before

    again = weekly.run("planner_weeks", WEEK)
    assert again.success, words(again)
    assert mlflow_server.runs(again.run_id) == {"week": ["FINISHED"], "parent": ["FINISHED"]}
    unchanged = weekly.run("planner_weeks", WEEK)
    assert unchanged.success, words(unchanged)
    assert mlflow_server.runs(unchanged.run_id) == {"week": [], "parent": []}, "registered already"


def test_a_week_that_lost_mlflow_in_the_middle_of_its_run_leaves_one_finished_run_and_none_open(
    weekly: SmallPlatform, mlflow_server: MlflowServer
) -> None:
    # The dataset cannot be recorded, nor can the week's run and its parent be ended; then the server is back.
    mlflow_server.proxy.plan(
        Fault("unavailable", 1, path="log-inputs"),
        Fault("delay", 1, path="runs/update"),  # the first opens the parent
        Fault("reset_before", 2, path="runs/update"),
    )
    result = weekly.run("planner_weeks", WEEK)
    assert result.success, words(result)
    assert attempts(result) == 2
    assert mlflow_server.proxy.left() == 0
    assert mlflow_server.runs(result.run_id) == {"week": ["FINISHED", "RUNNING"], "parent": ["FINISHED"]}
    end_mlflow_runs_since(weekly.instance, weekly.resources["mlflow"], 0.0)
    assert mlflow_server.runs(result.run_id) == {"week": ["FAILED", "FINISHED"], "parent": ["FINISHED"]}
    revision = weekly.lake.current(address(DATASET, WEEK))
    assert revision
    tracking = Tracking(mlflow_server.proxy.url)
    found = tracking.finished_run(EXPERIMENT, {"digest": revision.digest, "dagster_run_id": result.run_id})
    assert found


def test_what_a_person_must_mend_is_tried_once_and_named(
    platform: SmallPlatform, postgres: Postgres, moto: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    moto.use(monkeypatch)
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        empty = f"empty_{uuid4().hex[:8]}"
        connection.execute(f"CREATE DATABASE {empty}")
    tables = SourceResource(url=postgres.url(empty))
    login = SourceResource(url=postgres.url("application", password=f"not-{PASSWORD}"))
    elsewhere = LakeResource(url=str(tmp_path / "lake"))
    for wrong, remedy in (
        ({"source": tables, "lake": elsewhere}, "`make preflight` names missing tables"),
        ({"source": login, "lake": elsewhere}, "are user, password and database right?"),
        ({"lake": LakeResource(url="s3://no-such-bucket/lake")}, "bucket no-such-bucket does not exist: create it"),
    ):
        result = platform.replaced(**wrong).run("planner_extraction", DAYS[0])
        assert not result.success
        assert attempts(result) == 1, words(result)
        assert remedy in words(result)
        assert PASSWORD not in "\n".join(str(event) for event in result.all_events)
