"""Which configuration a run has when nobody gives it one: the documented defaults, the log's thresholds, a file of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_assets.core.settings import SettingError, Settings
from platform_assets.query_predictor.assets import common
from platform_assets.query_predictor.documented_keys import Configuration


def settings(home: Path, **others: str) -> Settings:
    return Settings.from_environment({"PLATFORM_HOME": str(home), **others})


def written(path: Path, content: str) -> str:
    path.write_text(content, encoding="utf-8")
    return str(path)


def test_a_log_of_ones_own_has_the_documented_defaults(tmp_path: Path) -> None:
    own = settings(tmp_path, PLATFORM_TRINO_SOURCE=str(tmp_path / "log.parquet"))
    assert common.default_configuration(own) == Configuration()


def test_a_file_stands_above_the_logs_thresholds_key_by_key(tmp_path: Path) -> None:
    shipped = common.default_configuration(settings(tmp_path))
    file = written(tmp_path / "own.yaml", "data_loading:\n  cpu_threshold_seconds: 5\nmodel:\n  cost_fn: 50\n")
    found = common.default_configuration(settings(tmp_path, PLATFORM_TRINO_CONFIGURATION=file))
    assert (found.data_loading.cpu_threshold_seconds, found.model.cost_fn) == (5, 50)
    assert found.data_loading.memory_threshold_gb == shipped.data_loading.memory_threshold_gb != 10
    assert found.features == shipped.features


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("model:\n  cost_fm: 50\n", "cost_fm"),
        ("data_loading: all\n", "data_loading"),
        ("spark:\n  driver_memory: 32G\n", "partitions and the lake replace it"),
        ("{", "cannot be read as YAML"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start_by_its_settings_name(
    tmp_path: Path, content: str | None, said: str
) -> None:
    file = tmp_path / "own.yaml"
    if content is not None:
        written(file, content)
    with pytest.raises(SettingError, match=f"PLATFORM_TRINO_CONFIGURATION: .*own.yaml.*{said}"):
        common.default_configuration(settings(tmp_path, PLATFORM_TRINO_CONFIGURATION=str(file)))
