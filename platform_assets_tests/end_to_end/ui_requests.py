"""What the Dagster UI asks of its GraphQL server, as functions over a running deployment.

Requests and the reading of their answers belong here; what the answers must be belongs to the tests.
"""

from __future__ import annotations

import time
from typing import Any

import dagster as dg

from platform_assets_tests.end_to_end.deployment import Deployment

REPOSITORY = {"repositoryLocationName": "planner", "repositoryName": "__repository__"}
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
REQUESTING_SENSORS = ("planner_late_data", "planner_changed_days", "planner_automation", "planner_long_automation")


def launch(deployment: Deployment, job: str, partition: str) -> str:
    """Launch a job for one partition; returns the run's id."""
    query = """
        mutation ($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
            __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
    """
    params = {
        "selector": {**REPOSITORY, "pipelineName": job},
        "mode": "default",
        "runConfigData": "{}",
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": partition}]},
    }
    found = deployment.graphql(query, {"params": params})["launchPipelineExecution"]
    assert found["__typename"] == "LaunchRunSuccess", found
    return found["run"]["runId"]


def run_to_its_end(deployment: Deployment, job: str, partition: str) -> tuple[str, str]:
    """Launch a job for one partition and wait; returns its status and, of a failure, the messages of its failed steps."""
    run_id = launch(deployment, job, partition)
    status = deployment.wait_for(f"the end of {job} {partition}", lambda: _ended(deployment, run_id), 600)
    return status, _failures(deployment, run_id)


def backfill_status(deployment: Deployment, backfill_id: str) -> str:
    """REQUESTED, COMPLETED_SUCCESS, COMPLETED_FAILED, ..."""
    query = "query ($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
    return deployment.graphql(query, {"id": backfill_id})["partitionBackfillOrError"]["status"]


def backfill_failures(deployment: Deployment, backfill_id: str) -> str:
    """What the failed steps of the backfill's runs said, and what stopped the backfill itself."""
    query = """
        query ($id: String!, $runs: RunsFilter!) {
            partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { error { message } } }
            runsOrError(filter: $runs) { ... on Runs { results { runId status } } } }
    """
    runs = {"tags": [{"key": "dagster/backfill", "value": backfill_id}]}
    found = deployment.graphql(query, {"id": backfill_id, "runs": runs})
    said = [f"{run['status']} {_failures(deployment, run['runId'])}" for run in found["runsOrError"]["results"]]
    return "\n".join([str(found["partitionBackfillOrError"]), *said])


def partition_statuses(deployment: Deployment, asset: dg.AssetKey) -> dict[str, str]:
    """MATERIALIZED, FAILED or MATERIALIZING by partition; one that was never tried is absent."""
    query = """
        query ($asset: AssetKeyInput!) { assetNodeOrError(assetKey: $asset) { ... on AssetNode {
            partitionKeys
            assetPartitionStatuses { ... on TimePartitionStatuses { ranges { startKey endKey status } } } } } }
    """
    node = deployment.graphql(query, {"asset": {"path": list(asset.path)}})["assetNodeOrError"]
    ranges = node["assetPartitionStatuses"]["ranges"]
    return {
        key: found["status"]
        for key in node["partitionKeys"]
        for found in ranges
        if found["startKey"] <= key <= found["endKey"]
    }


def check_statuses(deployment: Deployment, asset: dg.AssetKey, partition: str) -> dict[str, str]:
    """SUCCEEDED, FAILED, ... by check: each check's newest execution for the partition; one never executed is absent."""
    query = """
        query ($asset: AssetKeyInput!, $check: String!, $partition: String!) {
            assetCheckExecutions(assetKey: $asset, checkName: $check, partition: $partition, limit: 1) { status } }
    """
    path = {"path": list(asset.path)}
    newest = {
        name: deployment.graphql(query, {"asset": path, "check": name, "partition": partition})["assetCheckExecutions"]
        for name in _check_names(deployment, asset)
    }
    return {name: found[0]["status"] for name, found in newest.items() if found}


def sensor_ticks(deployment: Deployment, since: float) -> dict[str, int]:
    """How many ticks each running sensor has begun and ended after `since` (seconds since 1970)."""
    query = """
        query ($of: RepositorySelector!, $after: Float!) {
            sensorsOrError(repositorySelector: $of, sensorStatus: RUNNING) { ... on Sensors { results { name
                sensorState { ticks(afterTimestamp: $after, limit: 20) { timestamp status endTimestamp } } } } } }
    """
    found = deployment.graphql(query, {"of": REPOSITORY, "after": since})["sensorsOrError"]["results"]
    return {
        sensor["name"]: sum(1 for tick in sensor["sensorState"]["ticks"] if tick["endTimestamp"]) for sensor in found
    }


def runs_under_way(deployment: Deployment) -> int:
    """Runs that are queued, starting or running."""
    query = """
        { runsOrError(filter: {statuses: [QUEUED, NOT_STARTED, STARTING, STARTED]}) { ... on Runs { count } } }
    """
    return deployment.graphql(query, {})["runsOrError"]["count"]


def wait_until_nothing_is_requested(deployment: Deployment, ticks: int = 2, seconds: float = 600) -> None:
    """Wait until no run was under way while every sensor that requests runs ticked so many times: no fixed pause, which
    a slow machine would outlast."""
    since = time.time()

    def quiet() -> bool:
        nonlocal since
        if runs_under_way(deployment):
            since = time.time()
            return False
        found = sensor_ticks(deployment, since)
        return all(found.get(sensor, 0) >= ticks for sensor in REQUESTING_SENSORS)

    deployment.wait_for("a quiet time", quiet, seconds)


def _ended(deployment: Deployment, run_id: str) -> str | None:
    query = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
    status = deployment.graphql(query, {"id": run_id})["runOrError"]["status"]
    return status if status in ENDED else None


def _failures(deployment: Deployment, run_id: str) -> str:
    query = """
        query ($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
            ... on ExecutionStepFailureEvent { error { message cause { message } } } } } } }
    """
    events: list[dict[str, Any]] = deployment.graphql(query, {"id": run_id})["logsForRun"]["events"]
    return "\n".join(str(event["error"]) for event in events if event.get("error"))


def _check_names(deployment: Deployment, asset: dg.AssetKey) -> list[str]:
    query = """
        query ($asset: AssetKeyInput!) { assetNodeOrError(assetKey: $asset) { ... on AssetNode {
            assetChecksOrError { ... on AssetChecks { checks { name } } } } } }
    """
    node = deployment.graphql(query, {"asset": {"path": list(asset.path)}})["assetNodeOrError"]
    return [check["name"] for check in node["assetChecksOrError"]["checks"]]
