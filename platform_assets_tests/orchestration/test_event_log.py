"""The quick event log: what it changes, what it leaves alone, and that a killed process loses no event."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy
from sqlalchemy.pool import NullPool

from platform_assets.orchestration.event_log import quick_event_log

FULL, NORMAL = 2, 1
KEY = dg.AssetKey(["rooms", "numbers"])
# Logs events until it is killed, telling after each one that it is stored; the instance's folder is the argument.
LOGS_UNTIL_KILLED = """
import sys
import dagster as dg
from platform_assets.orchestration.event_log import quick_event_log

@dg.asset(key=["rooms", "numbers"])
def numbers(context: dg.AssetExecutionContext):
    with quick_event_log():
        for number in range(10_000):
            context.log_event(dg.AssetMaterialization(context.asset_key, metadata={"number": number}))
            print(number, flush=True)

with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    dg.materialize([numbers], instance=instance)
"""


def connect(path: Path) -> sqlalchemy.Engine:
    """As Dagster does: no pool, so that every connection is closed after its use."""
    return sqlalchemy.create_engine(f"sqlite:///{path}", poolclass=NullPool)


def synchronous(engine: sqlalchemy.Engine) -> int:
    with engine.connect() as connection:
        return connection.exec_driver_sql("PRAGMA synchronous").scalar_one()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """An empty database with a write-ahead log."""
    path = tmp_path / "events.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE event (number int)")
    connection.close()
    return path


def test_inside_the_block_commits_do_not_wait_for_the_disk_and_the_log_stays_open(database: Path) -> None:
    engine, log = connect(database), database.with_name("events.db-wal")
    with quick_event_log():
        with engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO event VALUES (1)")
        assert synchronous(engine) == NORMAL
        assert log.exists(), "closing the last connection would have deleted it"
    assert synchronous(engine) == FULL
    assert not log.exists()


def test_another_process_reads_what_was_committed_and_can_write(database: Path) -> None:
    engine = connect(database)
    with quick_event_log():
        with engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO event VALUES (1)")
        words = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=0); c.execute('INSERT INTO event VALUES (2)'); "
        words += "c.commit(); print(c.execute('SELECT count(*) FROM event').fetchone()[0])"
        command = [sys.executable, "-c", words, str(database)]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        assert found.stdout.strip() == "2"


def test_a_database_without_a_write_ahead_log_keeps_waiting_for_the_disk(tmp_path: Path) -> None:
    engine = connect(tmp_path / "plain.db")
    with quick_event_log():
        assert synchronous(engine) == FULL


def test_blocks_nest(database: Path) -> None:
    engine = connect(database)
    with quick_event_log():
        with quick_event_log():
            assert synchronous(engine) == NORMAL
        assert synchronous(engine) == NORMAL
    assert synchronous(engine) == FULL


@pytest.mark.slow
def test_a_killed_process_loses_no_event_that_it_logged(tmp_path: Path) -> None:
    storage = {"sqlite": {"base_dir": str(tmp_path)}}
    (tmp_path / "dagster.yaml").write_text(f"storage: {storage}\ntelemetry: {{enabled: false}}\n")
    command = [sys.executable, "-c", LOGS_UNTIL_KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        told = -1
        for line in process.stdout:
            told = int(line)
            if told == 20:
                os.kill(process.pid, signal.SIGKILL)
    assert told >= 20
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        records = instance.fetch_materializations(KEY, limit=1_000).records
    found = [
        record.asset_materialization.metadata["number"].value for record in records if record.asset_materialization
    ]
    assert [number for number in range(told + 1) if number not in found] == []
