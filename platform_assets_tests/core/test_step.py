"""Options as the words of a command line."""

from __future__ import annotations

import pytest

from platform_assets.core.step import words


def test_what_is_left_open_is_left_out_and_what_is_empty_is_given() -> None:
    assert words({"epochs": "6", "device": None, "auxiliary": ""}) == ["--epochs", "6", "--auxiliary", ""]


def test_true_and_false_are_a_switch_and_its_opposite() -> None:
    assert words({"compile": "true", "plots": "false"}) == ["--compile", "--no-plots"]


@pytest.mark.parametrize("name", ["output=elsewhere", "", "-x", "two words"])
def test_a_name_that_would_be_read_as_something_else_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of an option"):
        words({name: "true"})
