"""Replays are recorded once and verdicts for good: what a re-run repeats adds nothing, what was judged is never rewritten.

`exp.policy_versions` keeps the verdict that its status rests on; `exp.policy_verdicts` keeps all of them.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MODEL_VERSIONS = (
    "ALTER TABLE exp.policy_versions ADD COLUMN evaluated_week date",
    "COMMENT ON COLUMN exp.policy_versions.evaluated_week IS 'of the verdict that the status rests on'",
    """
    CREATE UNIQUE INDEX policy_versions_model ON exp.policy_versions (mlflow_model_name, mlflow_model_version)
        WHERE mlflow_model_name IS NOT NULL
    """,
)

# By expressions and not NULLS NOT DISTINCT, which servers before 15 do not know. A failed replay has no digest: it is the
# same one when it failed with the same words.
REPLAYS = (
    "ALTER TABLE exp.offline_replay_results ADD COLUMN replay_digest text",
    "ALTER TABLE exp.offline_replay_results ADD COLUMN scores jsonb NOT NULL DEFAULT '{}'",
    """
    CREATE UNIQUE INDEX offline_replay_results_once ON exp.offline_replay_results (
        policy_version_id, coalesce(baseline_version_id, policy_version_id), dataset_version,
        coalesce(dataset_digest, ''), coalesce(replay_digest, ''), md5(coalesce(error_message, ''))
    ) WHERE replay_digest IS NOT NULL OR error_message IS NOT NULL
    """,
)

VERDICTS = (
    """
    CREATE TABLE exp.policy_verdicts (
        id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        policy_version_id uuid NOT NULL REFERENCES exp.policy_versions (id),
        evaluated_week    date NOT NULL,
        replay_digest     text NOT NULL,
        outcome           text NOT NULL CHECK (outcome IN ('pass', 'fail', 'inconclusive')),
        document          jsonb NOT NULL,
        document_digest   text NOT NULL,
        created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
        UNIQUE (policy_version_id, evaluated_week, replay_digest)
    )
    """,
    # Without a percent sign: the SQL that is shown doubles it, the SQL that is run does not.
    """
    CREATE FUNCTION exp.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION USING MESSAGE = 'rows of ' || TG_TABLE_NAME || ' are written once and never changed';
    END
    $$
    """,
    """
    CREATE TRIGGER policy_verdicts_are_immutable BEFORE UPDATE OR DELETE ON exp.policy_verdicts
        FOR EACH ROW EXECUTE FUNCTION exp.refuse_change()
    """,
)


def upgrade() -> None:
    """Add what keeps replays and verdicts."""
    for statement in (*MODEL_VERSIONS, *REPLAYS, *VERDICTS):
        op.execute(statement)


def downgrade() -> None:
    """Drop it again, with the history of verdicts."""
    op.execute("DROP TABLE exp.policy_verdicts")
    op.execute("DROP FUNCTION exp.refuse_change()")
    op.execute("DROP INDEX exp.offline_replay_results_once")
    op.execute("ALTER TABLE exp.offline_replay_results DROP COLUMN scores, DROP COLUMN replay_digest")
    op.execute("DROP INDEX exp.policy_versions_model")
    op.execute("ALTER TABLE exp.policy_versions DROP COLUMN evaluated_week")
