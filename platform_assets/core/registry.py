"""Policies, their versions, replays and verdicts in schema exp: every write may be repeated, none undoes a later one.

A run that is killed anywhere is started again and calls the same functions with the same values: there is one version per
registered model, one row per replay, one verdict per version, week and replay. Verdicts move a status between registered,
candidate and rejected: the newest decides, of the latest week and within it of the replay that was judged last, whether it
promotes or rejects (`policy_version.rests_on`). An inconclusive one takes nothing back, that of an older week is kept as history
only, so that a backfill moves nothing back, and what serves or served is moved by none. What does not belong here: judging
(`core.gate`), MLflow (`core.tracking`), promotion.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

from platform_assets.core import policy_version
from platform_assets.core.garbage import digests_in
from platform_assets.core.policy_version import STATUS_AFTER, PolicyVersion, RecordedVerdict, ReplayResult
from platform_assets.core.registry_rows import (
    NAMING,
    Conflict,
    insert_replay,
    insert_verdict,
    lock_policy,
    same_version,
    select,
    select_one,
    show_verdict,
)
from platform_assets.core.warehouse import Unreachable, Warehouse, WarehouseError, failure

if TYPE_CHECKING:
    import psycopg

__all__ = ["Conflict", "PolicyVersion", "RecordedVerdict", "Registry", "ReplayResult", "Unreachable", "WarehouseError"]


class Registry:
    """The registry in one warehouse. Methods raise WarehouseError, or Unreachable when the server is away."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse

    def ensure_policy(self, name: str, description: str) -> str:
        """The id of the policy of this name, which is created where it is missing."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO exp.policies (name, description) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING",
                [name, description],
            )
            return lock_policy(connection, name)

    def ensure_version_zero(self, policy: str, config: Mapping[str, Any]) -> PolicyVersion:
        """Version 0, which needs no model and is active from the start; one that exists is left as it is."""
        from psycopg.types.json import Jsonb

        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO exp.policy_versions (policy_id, version, config_defaults, status)"
                " VALUES (%s, 0, %s, 'active') ON CONFLICT (policy_id, version) DO NOTHING",
                [lock_policy(connection, policy), Jsonb(dict(config))],
            )
            return select_one(connection, "p.name = %s AND v.version = 0", [policy])

    def register_version(
        self, policy: str, model_name: str, model_version: str, config_defaults: Mapping[str, Any]
    ) -> PolicyVersion:
        """The version of a registered model: the next number, or the one that it got before.

        Raises Conflict when that one belongs to another policy or has other defaults: they are part of what is judged.
        """
        from psycopg.types.json import Jsonb

        model = [model_name, str(model_version)]
        with self._transaction() as connection:
            policy_id = lock_policy(connection, policy)
            found = select(connection, "v.mlflow_model_name = %s AND v.mlflow_model_version = %s", model)
            if found:
                return same_version(found[0], policy, config_defaults)
            connection.execute(
                "INSERT INTO exp.policy_versions"
                " (policy_id, version, mlflow_model_name, mlflow_model_version, config_defaults)"
                " SELECT %s, coalesce(max(version), 0) + 1, %s, %s, %s FROM exp.policy_versions WHERE policy_id = %s",
                [policy_id, *model, Jsonb(dict(config_defaults)), policy_id],
            )
            return select_one(connection, "v.mlflow_model_name = %s AND v.mlflow_model_version = %s", model)

    def record_replay(self, replay: ReplayResult) -> str:
        """The id of the replay's row; recording it again adds nothing, with other scores it raises Conflict."""
        with self._transaction() as connection:
            return insert_replay(connection, replay)

    def record_verdict(
        self, version_id: str, document: Mapping[str, Any], evaluated_week: date, replay_digest: str
    ) -> PolicyVersion:
        """Keep a verdict's document for good and move the version's status by its outcome, where it may still move.

        Repeating it changes nothing. Raises Conflict when another verdict is on record for this version, week and replay.
        """
        if document.get("outcome") not in STATUS_AFTER:
            raise ValueError(f"a verdict's outcome is {', '.join(STATUS_AFTER)}, not {document.get('outcome')!r}")
        with self._transaction() as connection:
            version = select_one(connection, "v.id = %s FOR NO KEY UPDATE OF v", [version_id])
            if insert_verdict(connection, [version_id, evaluated_week, replay_digest], document):
                show_verdict(connection, version, document, evaluated_week, replay_digest)
            return select_one(connection, "v.id = %s", [version_id])

    def verdicts(self, version_id: str) -> list[RecordedVerdict]:
        """Every verdict ever recorded of a version, oldest week first."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT evaluated_week, replay_digest, outcome, document FROM exp.policy_verdicts"
                " WHERE policy_version_id = %s ORDER BY evaluated_week, created_at, id",
                [version_id],
            ).fetchall()
        return [RecordedVerdict(*row) for row in rows]

    def versions(self, policy: str) -> list[PolicyVersion]:
        """Every version of a policy, by number."""
        with self._transaction() as connection:
            return select(connection, "p.name = %s ORDER BY v.version", [policy])

    def version_of_model(self, model_name: str, model_version: str) -> PolicyVersion | None:
        """The version of a registered model; None when it has none."""
        with self._transaction() as connection:
            where = "v.mlflow_model_name = %s AND v.mlflow_model_version = %s"
            return next(iter(select(connection, where, [model_name, str(model_version)])), None)

    def differences(self, policy: str, mlflow_versions: Mapping[str, Mapping[str, str]]) -> list[str]:
        """What the policy's rows and MLflow's registered versions (version -> tags) do not agree on, in both directions."""
        return policy_version.differences(self.versions(policy), mlflow_versions)

    def named_digests(self) -> set[str]:
        """Everything that looks like a lake's digest in versions, replays and verdicts, which garbage collection keeps."""
        with self._transaction() as connection:
            return {digest for (text,) in connection.execute(NAMING) for digest in digests_in(text)}

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection]:
        import psycopg

        try:
            with self.warehouse.connect() as connection:
                yield connection
        except psycopg.Error as error:
            raise failure(self.warehouse.url, error) from None
