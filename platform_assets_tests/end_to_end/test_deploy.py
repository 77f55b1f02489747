"""deploy/ read as text: every setting is one that something reads, every code location has its server, no secret is inside."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dotenv import dotenv_values

from platform_assets.core.settings import Settings
from platform_assets.query_predictor import definitions as query_predictor
from platform_assets.world_model import definitions as world_model
from platform_assets_tests.end_to_end.external_services import DEPLOY, ROOT, interpolate, read_compose

# Read by libraries: the AWS clients, MLflow's and Postgres's own start, Dagster's backfills.
OF_LIBRARIES = re.compile(
    r"HF_TOKEN|(AWS|MLFLOW|POSTGRES|DAGSTER_BACKFILL)_[A-Z_]+|(PLATFORM|DAGSTER|MLFLOW)_DATABASE_PASSWORD"
)
ONE_SHOT = {"bucket", "migrate", "preflight"}
SERVICES = read_compose()["services"]
CODE_SERVERS = [name for name, service in SERVICES.items() if "code-server" in service.get("command", [])]


class Names(Mapping[str, str]):
    """An environment without any value that remembers what was asked of it."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return default

    def __getitem__(self, name: str) -> str:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def read_yaml(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def environment_names(node: Any) -> set[str]:
    """The names in every `env:` of a Dagster file."""
    if isinstance(node, dict):
        own = {node["env"]} if isinstance(node.get("env"), str) else set()
        return own.union(*(environment_names(value) for value in node.values()))
    return set().union(*(environment_names(value) for value in node)) if isinstance(node, list) else set()


def settings_names() -> set[str]:
    Settings.from_environment(names := Names())
    return names.asked


def of_dagster_files() -> set[str]:
    return environment_names(read_yaml("dagster.yaml")) | environment_names(read_yaml("workspace.yaml"))


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_of_a_service_is_read_by_something(service: str) -> None:
    given = set(SERVICES[service].get("environment", {}))
    known = settings_names() | of_dagster_files()
    assert {name for name in given - known if not OF_LIBRARIES.fullmatch(name)} == set()


@pytest.mark.parametrize("service", CODE_SERVERS)
def test_a_code_server_has_every_setting_of_the_platform(service: str) -> None:
    by_image = {"PLATFORM_HOME"}
    assert settings_names() - by_image <= set(SERVICES[service]["environment"])


@pytest.mark.parametrize("service", [*CODE_SERVERS, "webserver", "daemon"])
def test_every_dagster_process_has_what_the_instance_asks_for(service: str) -> None:
    assert environment_names(read_yaml("dagster.yaml")) <= set(SERVICES[service]["environment"])


def test_every_code_location_has_a_code_server_and_the_same_as_at_home() -> None:
    at_home = {entry["python_module"]["location_name"]: entry["python_module"]["module_name"] for entry in _home()}
    servers = [entry["grpc_server"] for entry in read_yaml("workspace.yaml")["load_from"]]
    assert {server["location_name"] for server in servers} == set(at_home) == set(CODE_SERVERS)
    for server in servers:
        name = server["location_name"]
        for process in ("webserver", "daemon"):
            environment = SERVICES[process]["environment"]
            assert environment[server["host"]["env"]] == name, "the service has the location's name"
            assert environment[server["port"]["env"]] in SERVICES[name]["command"]
        assert at_home[name] in SERVICES[name]["command"]


def _home() -> list[dict[str, Any]]:
    return yaml.safe_load((ROOT / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]


def test_the_instance_loads_with_every_key_known(tmp_path, monkeypatch: pytest.MonkeyPatch, empty_postgres_url) -> None:
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", empty_postgres_url.replace("postgresql://", "postgresql+psycopg2://"))
    monkeypatch.setenv("PLATFORM_BUCKET", "some-bucket")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with dg.DagsterInstance.from_config(str(DEPLOY)) as instance:
        assert type(instance.event_log_storage).__name__ == "PostgresEventLogStorage"
        assert type(instance.compute_log_manager).__name__ == "S3ComputeLogManager"
        assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"
        assert instance.run_retries_enabled
        assert not instance.run_retries_retry_on_asset_or_op_failure
        assert not instance.telemetry_enabled


def test_every_setting_of_the_instance_has_a_reason_above_it() -> None:
    lines = (DEPLOY / "dagster.yaml").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if re.match(r"\w+:$", line):
            block = lines[number - 1 : number + 3]
            assert any(text.lstrip().startswith("#") for text in block), line


def test_no_secret_stands_in_the_files_and_a_missing_one_stops_the_start() -> None:
    example = dotenv_values(DEPLOY / ".env.example")
    secrets = {name for name in example if re.search("PASSWORD|SECRET|ACCESS_KEY", name)}
    assert len(secrets) >= 6
    assert {name: value for name, value in example.items() if name in secrets and value} == {}
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    for name in secrets:
        with pytest.raises(KeyError, match=name):
            interpolate(next(re.finditer(rf"\$\{{{name}[^}}]*\}}", text)).group(), {})


def test_the_example_passes_what_the_platform_reads_and_its_options_are_ones(tmp_path: Path) -> None:
    """With every line in use: a line that no service hands on would be set in vain."""
    text = (DEPLOY / ".env.example").read_text(encoding="utf-8")
    (tmp_path / ".env").write_text(re.sub(r"^# (?=[A-Z_]+=)", "", text, flags=re.MULTILINE))
    given = {name: value or "" for name, value in dotenv_values(tmp_path / ".env").items()}
    compose = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    assert {name for name in given if f"${{{name}" not in compose} == set()
    options = {name: value for name, value in given.items() if name.endswith("_TRAINING_OPTIONS")}
    assert len(options) == 2
    for location in (query_predictor, world_model):  # a wrong option stops the start
        location.build(Settings.from_environment(options))


def test_services_wait_for_health_restart_and_are_pinned() -> None:
    for name, service in SERVICES.items():
        assert re.search(r":[^:]*(\d|\$\{PLATFORM_VERSION)", service["image"]), name
        assert service["logging"]["options"]["max-size"], name
        assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped"), name
        assert ("healthcheck" in service) == (name not in ONE_SHOT), name
        for other, wait in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            assert wait["condition"] == wanted, f"{name} on {other}"


def test_a_database_is_migrated_only_when_somebody_asks() -> None:
    assert SERVICES["migrate"]["profiles"] == ["migrate"]
    assert not [name for name, service in SERVICES.items() if "migrate" in service.get("depends_on", {})]
    assert "--apply" not in (DEPLOY / "compose.yaml").read_text(encoding="utf-8").split("services:")[1].replace(
        "`--apply`", ""
    )
