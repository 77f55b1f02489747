"""The experimentation system (schema exp) and the meal app's domain tables (schema public).

Documented enumerations are CHECK constraints, so that a wrong status is refused where it is written. `exp.events` is the
exception: it is a log, and a bad row must be able to arrive, to be quarantined with a reason later.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Unit ids are text and the JSON columns may be null or of any shape: unknown, hostile and malformed rows arrive too.
EVENTS = (
    """
    CREATE TABLE exp.events (
        id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        event_type  text NOT NULL,
        unit_type   text,
        unit_id     text,
        experiments jsonb,
        context     jsonb,
        metrics     jsonb,
        payload     jsonb,
        "timestamp" timestamptz NOT NULL,
        created_at  timestamptz NOT NULL DEFAULT now()
    )
    """,
    """COMMENT ON COLUMN exp.events."timestamp" IS 'when it happened'""",
    "COMMENT ON COLUMN exp.events.created_at IS 'when it was recorded; much later for a late event'",
    'CREATE INDEX events_timestamp ON exp.events ("timestamp")',
    "CREATE INDEX events_created_at ON exp.events (created_at)",
)

# Buckets follow the variants' creation order, so created_at is the clock's time: now() is equal within a transaction.
EXPERIMENTS = (
    """
    CREATE TABLE exp.experiments (
        id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        name        text NOT NULL UNIQUE,
        description text,
        status      text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'active', 'paused', 'completed')),
        unit_type   text NOT NULL DEFAULT 'household' CHECK (unit_type IN ('user', 'household', 'session')),
        start_at    timestamptz,
        end_at      timestamptz,
        created_at  timestamptz NOT NULL DEFAULT now(),
        updated_at  timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE exp.variants (
        id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        experiment_id uuid NOT NULL REFERENCES exp.experiments (id),
        name          text NOT NULL,
        allocation_bp integer NOT NULL CHECK (allocation_bp BETWEEN 0 AND 10000),
        config        jsonb NOT NULL DEFAULT '{}',
        created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
        UNIQUE (experiment_id, name),
        UNIQUE (experiment_id, id)
    )
    """,
    """
    CREATE TABLE exp.assignments (
        id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        experiment_id uuid NOT NULL REFERENCES exp.experiments (id),
        unit_type     text NOT NULL CHECK (unit_type IN ('user', 'household', 'session')),
        unit_id       text NOT NULL,
        variant_id    uuid NOT NULL,
        assigned_at   timestamptz NOT NULL DEFAULT now(),
        UNIQUE (experiment_id, unit_type, unit_id),
        FOREIGN KEY (experiment_id, variant_id) REFERENCES exp.variants (experiment_id, id)
    )
    """,
    """
    CREATE TABLE exp.metric_aggregates (
        experiment_id uuid NOT NULL REFERENCES exp.experiments (id),
        variant_id    uuid NOT NULL REFERENCES exp.variants (id),
        metric_name   text NOT NULL,
        bucket_type   text NOT NULL,
        bucket_start  timestamptz NOT NULL,
        count         bigint NOT NULL,
        sum           double precision NOT NULL,
        sum_sq        double precision NOT NULL,
        min           double precision,
        max           double precision,
        PRIMARY KEY (experiment_id, variant_id, metric_name, bucket_type, bucket_start)
    )
    """,
)

POLICIES = (
    """
    CREATE TABLE exp.policies (
        id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        name        text NOT NULL UNIQUE,
        description text,
        created_at  timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE exp.policy_versions (
        id                   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        policy_id            uuid NOT NULL REFERENCES exp.policies (id),
        version              integer NOT NULL CHECK (version >= 0),
        mlflow_model_name    text,
        mlflow_model_version text,
        config_defaults      jsonb NOT NULL DEFAULT '{}',
        status               text NOT NULL DEFAULT 'registered' CHECK (
            status IN ('registered', 'candidate', 'rejected', 'active', 'deprecated', 'archived')),
        verdict              jsonb,
        created_at           timestamptz NOT NULL DEFAULT now(),
        updated_at           timestamptz NOT NULL DEFAULT now(),
        UNIQUE (policy_id, version)
    )
    """,
    """
    CREATE TABLE exp.offline_replay_results (
        id                       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        policy_version_id        uuid NOT NULL REFERENCES exp.policy_versions (id),
        baseline_version_id      uuid REFERENCES exp.policy_versions (id),
        dataset_version          text NOT NULL,
        dataset_digest           text,
        mlflow_run_id            text,
        plan_alignment_score     double precision,
        constraint_respect_score double precision,
        edit_distance_score      double precision,
        meal_diversity_score     double precision,
        leftovers_utility_score  double precision,
        offline_eval_score       double precision,
        n_rows                   bigint,
        n_households             bigint,
        verdict                  jsonb,
        is_better_than_baseline  boolean,
        status                   text NOT NULL,
        error_message            text,
        created_at               timestamptz NOT NULL DEFAULT now()
    )
    """,
    "COMMENT ON COLUMN exp.offline_replay_results.is_better_than_baseline IS 'null when inconclusive'",
    "CREATE INDEX offline_replay_results_version ON exp.offline_replay_results (policy_version_id, created_at)",
)

# Histories do not refer to the current row: they outlive it. Their keys start with what an as-of read looks up, so that
# the key's own index serves it. Money is double precision: the Arrow driver hands numeric on as text.
MEAL_APP = (
    """
    CREATE TABLE public.households (
        id                   uuid PRIMARY KEY,
        size                 integer NOT NULL,
        preferences          text[] NOT NULL DEFAULT '{}',
        dietary_restrictions text[] NOT NULL DEFAULT '{}',
        region               text,
        created_at           timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE public.household_versions (
        household_id         uuid NOT NULL,
        valid_from           timestamptz NOT NULL,
        recorded_at          timestamptz NOT NULL,
        size                 integer NOT NULL,
        preferences          text[] NOT NULL DEFAULT '{}',
        dietary_restrictions text[] NOT NULL DEFAULT '{}',
        region               text,
        PRIMARY KEY (household_id, valid_from, recorded_at)
    )
    """,
    """
    CREATE TABLE public.household_constraints (
        household_id  uuid PRIMARY KEY,
        budget        double precision,
        max_prep_time integer,
        excluded      text[] NOT NULL DEFAULT '{}'
    )
    """,
    """
    CREATE TABLE public.household_constraint_versions (
        household_id  uuid NOT NULL,
        valid_from    timestamptz NOT NULL,
        recorded_at   timestamptz NOT NULL,
        budget        double precision,
        max_prep_time integer,
        excluded      text[] NOT NULL DEFAULT '{}',
        PRIMARY KEY (household_id, valid_from, recorded_at)
    )
    """,
    """
    CREATE TABLE public.pantry_snapshots (
        id            uuid PRIMARY KEY,
        household_id  uuid NOT NULL,
        snapshot_time timestamptz NOT NULL,
        recorded_at   timestamptz NOT NULL,
        items         jsonb
    )
    """,
    """
    CREATE INDEX pantry_snapshots_as_of
        ON public.pantry_snapshots (household_id, snapshot_time, recorded_at, id)
    """,
    """
    CREATE TABLE public.recipes (
        id               text NOT NULL,
        title            text,
        cuisine          text,
        main_protein     text,
        ingredients      jsonb NOT NULL DEFAULT '[]',
        tags             text[] NOT NULL DEFAULT '{}',
        allergens        text[] NOT NULL DEFAULT '{}',
        diets            text[] NOT NULL DEFAULT '{}',
        prep_time_min    integer,
        cost_per_serving double precision,
        servings         integer,
        valid_from       timestamptz NOT NULL,
        recorded_at      timestamptz NOT NULL,
        PRIMARY KEY (id, valid_from, recorded_at)
    )
    """,
)

NEWEST_FIRST = (
    "public.recipes",
    "public.pantry_snapshots",
    "public.household_constraint_versions",
    "public.household_constraints",
    "public.household_versions",
    "public.households",
    "exp.offline_replay_results",
    "exp.policy_versions",
    "exp.policies",
    "exp.metric_aggregates",
    "exp.assignments",
    "exp.variants",
    "exp.experiments",
    "exp.events",
)


def upgrade() -> None:
    """Create every table; the schema itself is made by the environment, which keeps its version table there."""
    for statement in (*EVENTS, *EXPERIMENTS, *POLICIES, *MEAL_APP):
        op.execute(statement)


def downgrade() -> None:
    """Drop every table with its rows; the schema stays, because the version table lives in it."""
    for table in NEWEST_FIRST:
        op.execute(f"DROP TABLE {table}")
