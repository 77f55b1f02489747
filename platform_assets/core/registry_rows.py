"""The registry's rows on an open connection: the statements, and what is compared and locked within one transaction.

What does not belong here: connecting and what callers may ask for (`core.registry`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from platform_assets.core.policy_version import (
    IS_BETTER,
    SCORE_COLUMNS,
    STATUS_AFTER,
    PolicyVersion,
    ReplayResult,
    document_digest,
    rests_on,
)
from platform_assets.core.warehouse import WarehouseError

if TYPE_CHECKING:
    import psycopg

_VERSIONS = """
    SELECT v.id::text, p.id::text, p.name, v.version, v.mlflow_model_name, v.mlflow_model_version, v.config_defaults,
           v.status, v.evaluated_week, v.verdict
    FROM exp.policy_versions AS v JOIN exp.policies AS p ON p.id = v.policy_id
"""
_INSERT_REPLAY = f"""
    INSERT INTO exp.offline_replay_results (
        policy_version_id, baseline_version_id, dataset_version, dataset_digest, replay_digest, mlflow_run_id, scores,
        n_rows, n_households, error_message, status, {", ".join(SCORE_COLUMNS)})
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s{", %s" * len(SCORE_COLUMNS)})
    ON CONFLICT DO NOTHING RETURNING id::text
"""
_SAME_REPLAY = """
    SELECT id::text, scores, n_rows, n_households FROM exp.offline_replay_results
    WHERE policy_version_id = %s AND baseline_version_id IS NOT DISTINCT FROM %s AND dataset_version = %s
      AND dataset_digest IS NOT DISTINCT FROM %s AND replay_digest IS NOT DISTINCT FROM %s
      AND error_message IS NOT DISTINCT FROM %s
"""
_INSERT_VERDICT = """
    INSERT INTO exp.policy_verdicts (policy_version_id, evaluated_week, replay_digest, outcome, document, document_digest)
    VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (policy_version_id, evaluated_week, replay_digest) DO NOTHING RETURNING id
"""
NAMING = """
    SELECT concat_ws(' ', dataset_digest, replay_digest, verdict::text) FROM exp.offline_replay_results
    UNION ALL SELECT concat_ws(' ', replay_digest, document::text) FROM exp.policy_verdicts
    UNION ALL SELECT concat_ws(' ', config_defaults::text, verdict::text) FROM exp.policy_versions
"""


class Conflict(WarehouseError):
    """Something else is on record under the same name, and records are not rewritten."""


def lock_policy(connection: psycopg.Connection, name: str) -> str:
    """The policy's id, and no other registration in it until the end of the transaction."""
    row = connection.execute("SELECT id::text FROM exp.policies WHERE name = %s FOR NO KEY UPDATE", [name]).fetchone()
    if row is None:
        raise WarehouseError(f"there is no policy {name!r}; create it with ensure_policy first")
    return row[0]


def select(connection: psycopg.Connection, where: str, values: list[Any]) -> list[PolicyVersion]:
    """The policy versions (v, of policies p) that meet a condition."""
    # `where` is one of this module's own texts; what comes from outside is bound.
    return [PolicyVersion(*row) for row in connection.execute(f"{_VERSIONS} WHERE {where}".encode(), values)]


def select_one(connection: psycopg.Connection, where: str, values: list[Any]) -> PolicyVersion:
    """The only one."""
    found = select(connection, where, values)
    if len(found) != 1:
        raise WarehouseError(f"expected one policy version for {values}, found {len(found)}; was it deleted?")
    return found[0]


def insert_replay(connection: psycopg.Connection, replay: ReplayResult) -> str:
    """The id of the replay's row, new or old; raises Conflict when the old one says something else."""
    from psycopg.types.json import Jsonb

    key = [replay.policy_version_id, replay.baseline_version_id, replay.dataset_version, replay.dataset_digest]
    values = [replay.replay_digest, replay.mlflow_run_id, Jsonb(dict(replay.scores)), replay.rows, replay.households]
    columns = [replay.scores.get(name) for name in SCORE_COLUMNS]
    inserted = connection.execute(
        _INSERT_REPLAY, [*key, *values, replay.error_message, replay.status, *columns]
    ).fetchone()
    found = inserted or connection.execute(_SAME_REPLAY, [*key, replay.replay_digest, replay.error_message]).fetchone()
    if found is None:
        raise WarehouseError("a replay's row vanished while it was read; was it deleted? run it again")
    if not inserted and list(found[1:]) != [dict(replay.scores), replay.rows, replay.households]:
        raise Conflict(
            f"replay {replay.replay_digest} on {replay.dataset_version} is on record with other scores; its digest must name"
            " the rows that were scored: publish the replay again"
        )
    return found[0]


def same_version(found: PolicyVersion, policy: str, config_defaults: Mapping[str, Any]) -> PolicyVersion:
    """The version that was found, if it is what is asked for; raises Conflict otherwise."""
    model = f"{found.model_name} {found.model_version} is version {found.version} of {found.policy}"
    if found.policy != policy:
        raise Conflict(f"{model} and cannot be one of {policy} too; register the model again for it")
    if found.config_defaults != json.loads(json.dumps(config_defaults)):
        raise Conflict(f"{model} with other defaults; register the model again to get a version with these")
    return found


def insert_verdict(connection: psycopg.Connection, key: list[Any], document: Mapping[str, Any]) -> bool:
    """Whether the verdict of this version, week and replay is new; raises Conflict when there is another one."""
    from psycopg.types.json import Jsonb

    identity = document_digest(document)
    values = [*key, document["outcome"], Jsonb(dict(document)), identity]
    if connection.execute(_INSERT_VERDICT, values).fetchone():
        return True
    recorded = connection.execute(
        "SELECT document_digest FROM exp.policy_verdicts"
        " WHERE policy_version_id = %s AND evaluated_week = %s AND replay_digest = %s",
        key,
    ).fetchone()
    if recorded != (identity,):
        raise Conflict(
            f"another verdict is on record for version {key[0]}, week {key[1]}, replay {key[2]}; verdicts are not rewritten:"
            " were other thresholds or code used for the same replay?"
        )
    return False


def show_verdict(
    connection: psycopg.Connection,
    version: PolicyVersion,
    document: Mapping[str, Any],
    evaluated_week: date,
    replay_digest: str,
) -> None:
    """On the replay's row, and on the version's where its status rests on this verdict from now on."""
    from psycopg.types.json import Jsonb

    outcome, verdict = document["outcome"], Jsonb(dict(document))
    connection.execute(
        "UPDATE exp.offline_replay_results SET verdict = %s, is_better_than_baseline = %s"
        " WHERE policy_version_id = %s AND replay_digest = %s AND verdict IS NULL",
        [verdict, IS_BETTER[outcome], version.id, replay_digest],
    )
    if rests_on(version, outcome, evaluated_week):
        connection.execute(
            "UPDATE exp.policy_versions SET status = %s, verdict = %s, evaluated_week = %s, updated_at = now() WHERE id = %s",
            [STATUS_AFTER[outcome], verdict, evaluated_week, version.id],
        )
