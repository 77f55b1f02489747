"""Reading Postgres: one snapshot, bound parameters, bounded memory, errors that name the remedy."""

from __future__ import annotations

import psycopg
import pytest

from platform_assets.core.warehouse import Unreachable, Warehouse, WarehouseError, database_url, without_password


def test_every_read_of_a_snapshot_sees_the_same_instant(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as writer:
        writer.execute("CREATE TABLE numbers (n int)")
        writer.execute("INSERT INTO numbers VALUES (1)")
        with Warehouse(postgres_url).snapshot() as snapshot:
            assert snapshot.row("SELECT count(*) AS n FROM numbers")["n"] == 1
            writer.execute("INSERT INTO numbers VALUES (2)")
            assert snapshot.row("SELECT count(*) AS n FROM numbers")["n"] == 1
        with Warehouse(postgres_url).snapshot() as snapshot:
            assert snapshot.row("SELECT count(*) AS n FROM numbers")["n"] == 2


def test_a_parameter_is_a_value_whatever_it_looks_like(postgres_url: str) -> None:
    hostile = "'); DROP TABLE households; --"
    with Warehouse(postgres_url).snapshot() as snapshot:
        row = snapshot.row("SELECT current_setting('platform.entity') AS value", {"entity": hostile})
        assert row["value"] == hostile
        assert snapshot.has_table("households")
        with pytest.raises(ValueError, match="lower-case"):
            snapshot.stream("SELECT 1", {"x', true); --": "1"})


def test_a_snapshot_cannot_write(postgres_url: str) -> None:
    with Warehouse(postgres_url).snapshot() as snapshot, pytest.raises(WarehouseError, match="read-only"):
        snapshot.row(
            "WITH made AS (INSERT INTO households (id, size) VALUES (gen_random_uuid(), 1) RETURNING id) SELECT * FROM made"
        )


def test_a_result_arrives_in_batches(postgres_url: str) -> None:
    with Warehouse(postgres_url).snapshot() as snapshot:
        reader = snapshot.stream("SELECT i, repeat('x', 500) AS text FROM generate_series(1, 100000) AS i")
        sizes = [batch.num_rows for batch in reader]
    assert sum(sizes) == 100_000
    assert max(sizes) < 100_000


def test_a_stream_that_is_abandoned_lets_the_snapshot_end(postgres_url: str) -> None:
    with Warehouse(postgres_url).snapshot() as snapshot:
        reader = snapshot.stream("SELECT repeat('x', 500) AS text FROM generate_series(1, 100000)")
        reader.read_next_batch()
    with Warehouse(postgres_url).snapshot() as snapshot:
        assert snapshot.row("SELECT 1 AS one")["one"] == 1


def test_an_unreachable_server_is_named_without_its_password() -> None:
    warehouse = Warehouse("postgresql://reader:topsecret@127.0.0.1:1/app")
    for attempt in (warehouse.snapshot, warehouse.connect):
        with pytest.raises(Unreachable, match=r"reader:\*\*\*@127\.0\.0\.1:1") as caught, attempt():
            pass
        assert "topsecret" not in str(caught.value)


def test_a_connection_that_is_lost_in_the_middle_of_a_stream_or_between_queries_is_unreachable(
    postgres_url: str,
) -> None:
    many, named = (
        "SELECT repeat('x', 500) AS text FROM generate_series(1, 200000)",
        "current_setting('platform.entity')",
    )
    with Warehouse(postgres_url).snapshot() as snapshot:
        reader = snapshot.stream(many)
        reader.read_next_batch()
        _end_other_sessions(postgres_url)
        with pytest.raises(Unreachable, match="is the server running"):
            reader.read_all()
    with Warehouse(postgres_url).snapshot() as snapshot:
        _end_other_sessions(postgres_url)
        with pytest.raises(Unreachable, match="is the server running"):
            snapshot.row(f"SELECT {named} AS value", {"entity": "x"})


def test_a_connection_that_is_lost_while_rows_are_written_is_unreachable(postgres_url: str) -> None:
    def write() -> None:
        with Warehouse(postgres_url).connect() as connection:
            _end_other_sessions(postgres_url)
            connection.execute("SELECT 1")

    with pytest.raises(Unreachable, match="is the server running"):
        write()


def test_what_the_server_refuses_is_not_taken_for_a_server_that_is_away(postgres_url: str) -> None:
    fails_late = "SELECT 1 / (200000 - i) AS n, repeat('x', 500) AS text FROM generate_series(1, 400000) AS i"
    warehouse = Warehouse(postgres_url)
    for query, words in (("SELECT * FROM nowhere", 'relation "nowhere" does not exist'), (fails_late, "by zero")):
        with pytest.raises(WarehouseError, match=words) as caught, warehouse.snapshot() as snapshot:
            snapshot.stream(query).read_all()
        assert not isinstance(caught.value, Unreachable)
    elsewhere = Warehouse(database_url(postgres_url, "no_such_database"))
    for attempt in (elsewhere.snapshot, elsewhere.connect):
        with pytest.raises(WarehouseError, match="are user, password and database right") as caught, attempt():
            pass
        assert not isinstance(caught.value, Unreachable)


def test_an_error_of_whoever_reads_the_stream_stays_its_own(postgres_url: str) -> None:
    def fail() -> None:
        with Warehouse(postgres_url).snapshot() as snapshot:
            for _ in snapshot.stream("SELECT 1 AS n"):
                raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()


def _end_other_sessions(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_socket_url_keeps_its_folder() -> None:
    assert without_password("postgresql://postgres:@/platform?host=/some/folder").endswith("host=/some/folder")


def test_a_password_is_hidden_wherever_it_stands() -> None:
    shown = without_password("postgresql://db/app?user=u&password=secret")
    assert shown == "postgresql://db/app?user=u&password=***"
