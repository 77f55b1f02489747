"""Verdicts are kept for good: a table's row triggers do not see TRUNCATE, so it is refused by a trigger of its own."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Refuse TRUNCATE."""
    op.execute(
        "CREATE TRIGGER policy_verdicts_are_not_truncated BEFORE TRUNCATE ON exp.policy_verdicts"
        " FOR EACH STATEMENT EXECUTE FUNCTION exp.refuse_change()"
    )


def downgrade() -> None:
    """Allow it again."""
    op.execute("DROP TRIGGER policy_verdicts_are_not_truncated ON exp.policy_verdicts")
