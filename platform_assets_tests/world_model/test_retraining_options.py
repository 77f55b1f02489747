"""The options of retrainings are held to the training's own when definitions load, not weeks later."""

from __future__ import annotations

from dataclasses import replace

import pytest

from platform_assets.core.settings import SettingError, Settings
from platform_assets.core.step import words
from platform_assets.world_model import trained_model
from platform_assets.world_model.definitions import build


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"epoch_count": "6"}, "--epoch_count 6 is no option of python -m platform_assets.world_model.training"),
        ({"epochs": "0"}, "--epochs must be 1 or more, not 0; python -m platform_assets.world_model.training --help"),
        ({"learning_rate": "fast"}, "invalid float value: 'fast'"),
        ({"tensor_cache": "elsewhere"}, "tensor_cache: decided by the week; leave it out"),
        ({"tensor_c": "elsewhere"}, "--tensor_c elsewhere is no option of"),
        ({"outp": "elsewhere"}, "--outp elsewhere is no option of"),
        ({"epoch": "6"}, "--epoch 6 is no option of"),
        ({"output=elsewhere": "true"}, "'output=elsewhere' is no name of an option"),
        ({"epochs": ""}, "--epochs: invalid int value: ''"),
        ({"precision": "foo"}, "--precision is one of auto, "),
        ({"warmup": "7"}, "--warmup must be from 0 to 1, not 7"),
        ({"gradient_clip": "-3"}, "--gradient_clip must be 0 or more, not -3"),
    ],
)
def test_options_that_a_training_would_refuse_stop_the_start(given: dict[str, str], reason: str) -> None:
    with pytest.raises(SettingError, match="PLATFORM_RETAIL_TRAINING_OPTIONS: ") as caught:
        build(replace(Settings.from_environment({}), retail_training_options=given))
    assert reason in str(caught.value)


def test_an_empty_list_is_none_of_what_it_lists() -> None:
    """Dropped on the way, the training would run with all tasks."""
    given = Settings.from_environment({"PLATFORM_RETAIL_TRAINING_OPTIONS": '{"auxiliary": []}'}).retail_training_options
    assert words(given) == ["--auxiliary", ""]
    assert trained_model.read_options(words(given)).auxiliary_weights == {}


@pytest.mark.parametrize("text", ["epochs=6", "[6]", '{"epochs": null}', '{"epochs": {"least": 1}}'])
def test_options_that_are_no_json_of_options_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingError, match=r"write a JSON object of the program's options, such as '\{\"epochs\": 6"):
        Settings.from_environment({"PLATFORM_RETAIL_TRAINING_OPTIONS": text})
