"""The documented keys: their defaults, their limits, and what is said of a key that is none."""

from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import pytest

from platform_assets.query_predictor import configuration
from platform_assets.query_predictor.configuration import ConfigurationError
from platform_assets.query_predictor.documented_keys import Configuration

DOCUMENTED = """
data_loading:
  start_date: "2025-06-01"
  end_date: "2025-07-15"
  cpu_threshold_seconds: 300      # Heavy if 5 minutes or more
  memory_threshold_gb: 10
boundary_sampling:
  balance_ratio: 5.0
  max_boost: 2.0
  min_multiplier: 0.05
features:
  base_feature_count: 78
  historical_feature_count: 17
  tfidf_vocab_size: 1000
model:
  algorithm: xgboost
  n_estimators: 100
  cv_folds: 5
  cost_fn: 100.0
  cost_fp: 1.0
sample_fraction: 0.1
analysis:
  enabled: false
"""


def test_the_documented_file_is_read_and_its_values_are_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "training_config.yaml"
    path.write_text(DOCUMENTED)
    found, default = configuration.from_yaml(path), Configuration()
    assert (found.features, found.model, found.boundary_sampling) == (
        default.features, default.model, default.boundary_sampling,
    )  # fmt: skip
    assert (found.sample_fraction, found.analysis.enabled) == (0.1, False)
    assert found.data_loading.start_date == date(2025, 6, 1)
    assert found.data_loading.holds(date(2025, 7, 15))
    assert not found.data_loading.holds(date(2025, 7, 16))
    path.write_text("")
    assert configuration.from_yaml(path) == configuration.from_mapping(None) == default


@pytest.mark.parametrize("name", ["spark", "checkpointing", "code_packaging", "s3"])
@pytest.mark.parametrize("section", [None, "data_loading"])
def test_keys_of_the_machinery_that_is_gone_say_what_stands_in_its_place(name: str, section: str | None) -> None:
    content = {name: {"driver_memory": "32G"}}
    path = f"{section}.{name}" if section else name
    with pytest.raises(ConfigurationError, match=rf"^{path} is not a key here; partitions and the lake replace it"):
        configuration.from_mapping({section: content} if section else content)


@pytest.mark.parametrize(
    ("content", "message"),
    [({"modle": {}}, "modle is no key; the keys there are data_loading, boundary_sampling"),
     ({"model": {"n_trees": 3}}, "model.n_trees is no key; the keys there are algorithm, n_estimators"),
     ({"model": {"n_estimators": 0}}, "model.n_estimators: Expected `int` >= 1"),
     ({"model": {"n_estimators": "many"}}, "model.n_estimators: Expected `int`, got `str`"),
     ({"model": {"algorithm": "forest"}}, "model.algorithm: Invalid enum value 'forest'"),
     ({"features": {"base_feature_count": 79}}, "the table of features holds 78"),
     ({"sample_fraction": 0}, "sample_fraction: Expected `float` > 0"),
     ({"data_loading": {"heavy_errors": ["too much"]}}, "heavy_errors holds 'too much'"),
     ({"data_loading": {"heavy_errors": ["USER_CANCELED"]}}, "both hold"),
     ({"data_loading": {"curated_pattern": "("}}, "no regular expression"),
     ({"data_loading": {"curated_pattern": "(?!x)"}}, "which the engine cannot"),
     ({"data_loading": {"start_date": "2026-02-01", "end_date": "2026-01-01"}}, "is before start_date"),
     ({"data_loading": {"start_date": "soon"}}, "data_loading.start_date"),
     ({"boundary_sampling": {"max_boost": 0.01}}, "max_boost is below min_multiplier")],
)  # fmt: skip
def test_a_wrong_key_or_value_is_named_by_its_path(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        configuration.from_mapping(content)
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    for content, message in (("a: [", "cannot be read as YAML"), ("- 1", "must hold keys"), ("x: 1", "x is no key")):
        path.write_text(content)
        with pytest.raises(ConfigurationError, match=message) as caught:
            configuration.from_yaml(path)
        assert str(path) in str(caught.value)


def test_every_key_is_documented() -> None:
    for struct in (Configuration, *(type(getattr(Configuration(), name)) for name in Configuration.__struct_fields__)):
        if not issubclass(struct, msgspec.Struct):
            continue
        schema = msgspec.json.schema(struct)["$defs"][struct.__name__]
        for name, described in schema["properties"].items():
            assert described.get("description", "").endswith("."), f"{struct.__name__}.{name}"


def test_what_is_stored_is_read_again() -> None:
    found = configuration.from_mapping({"data_loading": {"start_date": "2026-01-01", "heavy_errors": ["X"]}})
    assert configuration.from_mapping(configuration.to_mapping(found)) == found


class Made(configuration.config_class(dg.Config)):
    """As an asset's module has it."""


def test_dagster_knows_the_same_keys() -> None:
    found: list[dict[str, Any]] = []

    @dg.asset
    def trained(config: Made) -> None:
        found.append(configuration.to_mapping(configuration.from_mapping(config.model_dump())))

    def run(config: dict[str, Any]) -> dict[str, Any]:
        assert dg.materialize([trained], run_config={"ops": {"trained": {"config": config}}}).success
        return found.pop()

    assert run({}) == configuration.to_mapping(Configuration())
    changed = run({"model": {"cv_folds": 3}, "data_loading": {"start_date": "2026-01-01", "heavy_errors": ["A"]}})
    assert (changed["model"]["cv_folds"], changed["data_loading"]["heavy_errors"]) == (3, ["A"])
    with pytest.raises(dg.DagsterInvalidConfigError, match="n_trees"):
        run({"model": {"n_trees": 3}})
