"""The schema on a real Postgres: what it refuses, what it lets in, and that two processes may migrate at once."""

from __future__ import annotations

import os
import subprocess
import sys

import psycopg
import pytest

from platform_assets.core import migrations

DOCUMENTED = {
    "exp.events": "id event_type unit_type unit_id experiments context metrics payload timestamp created_at",
    "exp.experiments": "id name description status unit_type start_at end_at",
    "exp.variants": "id experiment_id name allocation_bp config",
    "exp.assignments": "id experiment_id unit_type unit_id variant_id assigned_at",
    "exp.metric_aggregates": "experiment_id variant_id metric_name bucket_type bucket_start count sum sum_sq min max",
    "exp.policies": "id name description",
    "exp.policy_versions": "id policy_id version mlflow_model_name mlflow_model_version config_defaults status verdict"
    " evaluated_week",
    "exp.offline_replay_results": "id policy_version_id baseline_version_id dataset_version dataset_digest mlflow_run_id"
    " plan_alignment_score constraint_respect_score edit_distance_score meal_diversity_score leftovers_utility_score"
    " offline_eval_score n_rows n_households verdict is_better_than_baseline status error_message created_at"
    " replay_digest scores",
    "exp.policy_verdicts": "id policy_version_id evaluated_week replay_digest outcome document document_digest created_at",
    "public.households": "id size preferences dietary_restrictions region created_at",
    "public.household_versions": "household_id valid_from recorded_at size preferences dietary_restrictions region",
    "public.household_constraints": "household_id budget max_prep_time excluded",
    "public.household_constraint_versions": "household_id valid_from recorded_at budget max_prep_time excluded",
    "public.pantry_snapshots": "id household_id snapshot_time recorded_at items",
    "public.recipes": "id title cuisine main_protein ingredients tags allergens diets prep_time_min cost_per_serving"
    " servings valid_from recorded_at",
}


@pytest.fixture
def connection(postgres_url):
    with psycopg.connect(postgres_url) as connection:
        yield connection
        connection.rollback()


def test_every_documented_table_has_its_documented_columns(connection):
    rows = connection.execute(
        "SELECT table_schema || '.' || table_name, array_agg(column_name::text ORDER BY ordinal_position)"
        " FROM information_schema.columns WHERE table_schema IN ('exp', 'public') GROUP BY 1"
    ).fetchall()
    columns = dict(rows)
    assert set(columns) == {*DOCUMENTED, "exp.alembic_version"}
    for table, names in DOCUMENTED.items():
        assert set(names.split()) <= set(columns[table]), table


def test_version_tables_are_keyed_by_both_time_axes(connection):
    rows = connection.execute(
        "SELECT c.conrelid::regclass::text, array_agg(a.attname::text ORDER BY k.place) FROM pg_constraint c"
        " CROSS JOIN unnest(c.conkey) WITH ORDINALITY AS k(attnum, place)"
        " JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum WHERE c.contype = 'p' GROUP BY 1"
    ).fetchall()
    keys = dict(rows)
    assert keys["household_versions"] == ["household_id", "valid_from", "recorded_at"]
    assert keys["household_constraint_versions"] == ["household_id", "valid_from", "recorded_at"]
    assert keys["recipes"] == ["id", "valid_from", "recorded_at"]
    assert keys["exp.metric_aggregates"] == [
        "experiment_id", "variant_id", "metric_name", "bucket_type", "bucket_start",
    ]  # fmt: skip


def test_a_hostile_event_can_arrive(connection):
    connection.execute(
        "INSERT INTO exp.events (event_type, unit_type, unit_id, experiments, context, metrics, payload, timestamp)"
        " VALUES ('no such type', 'toaster', '''; DROP TABLE x; --', '7', '[]', 'null', '\"text\"', now())"
    )
    connection.execute("INSERT INTO exp.events (event_type, timestamp) VALUES ('bare', now())")


@pytest.mark.parametrize(
    ("table", "columns", "values"),
    [
        ("exp.experiments", "name, status", "'a', 'running'"),
        ("exp.experiments", "name, unit_type", "'a', 'planet'"),
        ("exp.variants", "experiment_id, name, allocation_bp", "'{experiment}', 'a', 10001"),
        ("exp.variants", "experiment_id, name, allocation_bp", "'{experiment}', 'a', -1"),
        ("exp.policy_versions", "policy_id, version, status", "'{policy}', 1, 'promoted'"),
    ],
)
def test_a_value_outside_a_documented_enumeration_is_refused(connection, table, columns, values):
    known = {
        "experiment": connection.execute("INSERT INTO exp.experiments (name) VALUES ('e') RETURNING id").fetchone()[0],
        "policy": connection.execute("INSERT INTO exp.policies (name) VALUES ('p') RETURNING id").fetchone()[0],
    }
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({values.format(**known)})")


def test_verdicts_cannot_be_changed_or_deleted(connection):
    version = connection.execute(
        "WITH p AS (INSERT INTO exp.policies (name) VALUES ('p') RETURNING id)"
        " INSERT INTO exp.policy_versions (policy_id, version) SELECT id, 1 FROM p RETURNING id"
    ).fetchone()[0]
    connection.execute(
        "INSERT INTO exp.policy_verdicts (policy_version_id, evaluated_week, replay_digest, outcome, document,"
        " document_digest) VALUES (%s, '2026-01-09', 'd', 'pass', '{}', 'd')",
        [version],
    )
    changes = (
        "UPDATE exp.policy_verdicts SET outcome = 'fail'",
        "DELETE FROM exp.policy_verdicts",
        "TRUNCATE exp.policy_verdicts",
    )
    for change in changes:
        with (
            pytest.raises(psycopg.errors.RaiseException, match="written once and never changed"),
            connection.transaction(),
        ):
            connection.execute(change)


def test_a_database_of_the_first_revision_is_brought_up_to_date_with_its_rows(empty_postgres_url):
    from alembic import command
    from sqlalchemy import create_engine

    with create_engine(migrations.sqlalchemy_url(empty_postgres_url)).connect() as old:
        command.upgrade(migrations._config(connection=old), "0001")
    with psycopg.connect(empty_postgres_url) as connection:
        version = connection.execute(
            "WITH p AS (INSERT INTO exp.policies (name) VALUES ('p') RETURNING id)"
            " INSERT INTO exp.policy_versions (policy_id, version) SELECT id, 0 FROM p RETURNING id"
        ).fetchone()
        for _ in range(2):
            connection.execute(
                "INSERT INTO exp.offline_replay_results (policy_version_id, dataset_version, status)"
                " VALUES (%s, '2026-01-09', 'completed')",
                version,
            )
    migrations.upgrade(empty_postgres_url)
    with psycopg.connect(empty_postgres_url) as connection:
        assert connection.execute("SELECT scores FROM exp.offline_replay_results").fetchall() == [({},)] * 2


def test_a_unit_is_assigned_to_one_variant_of_an_experiment_and_only_to_its_own_variants(connection):
    first, other = (
        connection.execute("INSERT INTO exp.experiments (name) VALUES (%s) RETURNING id", [name]).fetchone()[0]
        for name in ("first", "other")
    )
    variant = connection.execute(
        "INSERT INTO exp.variants (experiment_id, name, allocation_bp) VALUES (%s, 'a', 10000) RETURNING id", [first]
    ).fetchone()[0]
    insert = (
        "INSERT INTO exp.assignments (experiment_id, unit_type, unit_id, variant_id) VALUES (%s, 'household', 'u', %s)"
    )
    connection.execute(insert, [first, variant])
    with pytest.raises(psycopg.errors.UniqueViolation), connection.transaction():
        connection.execute(insert, [first, variant])
    with pytest.raises(psycopg.errors.ForeignKeyViolation), connection.transaction():
        connection.execute(insert, [other, variant])


def test_variants_written_in_one_transaction_keep_their_creation_order(connection):
    experiment = connection.execute("INSERT INTO exp.experiments (name) VALUES ('e') RETURNING id").fetchone()[0]
    names = ["b", "a", "c"]
    for name in names:
        connection.execute(
            "INSERT INTO exp.variants (experiment_id, name, allocation_bp) VALUES (%s, %s, 1)", [experiment, name]
        )
    assert [row[0] for row in connection.execute("SELECT name FROM exp.variants ORDER BY created_at")] == names


def test_the_sql_is_shown_before_it_is_applied_and_then_nothing_is_pending(empty_postgres_url):
    current, head = migrations.current_and_head(empty_postgres_url)
    shown = migrations.pending_sql(empty_postgres_url)
    assert current is None
    assert shown.index("CREATE SCHEMA IF NOT EXISTS exp") < shown.index("CREATE TABLE exp.alembic_version")
    assert "CREATE TABLE exp.events" in shown
    assert migrations.current_and_head(empty_postgres_url)[0] is None, "showing the SQL must not apply it"
    migrations.upgrade(empty_postgres_url)
    assert migrations.current_and_head(empty_postgres_url) == (head, head)
    assert migrations.pending_sql(empty_postgres_url) == ""


def test_the_sql_that_is_shown_builds_the_same_schema_when_run_by_hand(empty_postgres_url, postgres_url):
    with psycopg.connect(empty_postgres_url, autocommit=True) as by_hand:
        by_hand.execute(migrations.pending_sql(empty_postgres_url))
    query = (
        "SELECT table_schema, table_name, column_name, data_type, is_nullable, column_default"
        " FROM information_schema.columns WHERE table_schema IN ('exp', 'public') ORDER BY 1, 2, 3"
    )
    with psycopg.connect(empty_postgres_url) as left, psycopg.connect(postgres_url) as right:
        assert left.execute(query).fetchall() == right.execute(query).fetchall()
    assert migrations.pending_sql(empty_postgres_url) == ""


def test_an_upgrade_of_a_current_database_changes_nothing(postgres_url):
    before = migrations.current_and_head(postgres_url)
    migrations.upgrade(postgres_url)
    assert migrations.current_and_head(postgres_url) == before


def test_two_processes_may_migrate_at_once(empty_postgres_url):
    code = "import sys; from platform_assets.core import migrations; migrations.upgrade(sys.argv[1])"
    started = [
        subprocess.Popen([sys.executable, "-c", code, empty_postgres_url], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outcomes = [(process.communicate()[1], process.returncode) for process in started]
    assert [status for _, status in outcomes] == [0, 0], outcomes
    current, head = migrations.current_and_head(empty_postgres_url)
    assert current == head


def test_a_failed_upgrade_leaves_nothing_behind(empty_postgres_url):
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.recipes (id text)")
        with pytest.raises(Exception, match="already exists"):
            migrations.upgrade(empty_postgres_url)
        assert connection.execute("SELECT to_regclass('exp.events')").fetchone() == (None,)
    assert migrations.current_and_head(empty_postgres_url)[0] is None


def test_a_downgrade_removes_every_table_of_the_revisions(empty_postgres_url):
    from alembic import command
    from sqlalchemy import create_engine

    migrations.upgrade(empty_postgres_url)
    with create_engine(migrations.sqlalchemy_url(empty_postgres_url)).connect() as connection:
        command.downgrade(migrations._config(connection=connection), "base")
    with psycopg.connect(empty_postgres_url) as connection:
        left = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema IN ('exp', 'public')"
        ).fetchall()
    assert left == [("alembic_version",)]


def test_urls_keep_the_socket_folder_and_name_the_driver():
    url = "postgresql://postgres:@/postgres?host=/some/folder"
    assert migrations.sqlalchemy_url(url) == "postgresql+psycopg://postgres:@/postgres?host=/some/folder"
    with pytest.raises(ValueError, match="postgresql://"):
        migrations.sqlalchemy_url("sqlite:///x.db")


def test_the_environment_names_the_database_when_the_caller_does_not(empty_postgres_url, monkeypatch):
    import io

    from alembic import command

    monkeypatch.setitem(os.environ, "PLATFORM_WAREHOUSE_URL", empty_postgres_url)
    output = io.StringIO()
    command.upgrade(migrations._config(output=output), "head", sql=True)
    assert "CREATE TABLE exp.events" in output.getvalue()
