"""What a scoring server hands over becomes plain requests, whatever it came in; what is missing is left out, a null is not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from platform_assets.core.served_requests import Refusal, rows, without_missing

ASKED = {"name": "ann", "number": 3, "list": ["a", "b"]}


@pytest.mark.parametrize(
    "given",
    [
        ASKED,
        [ASKED],
        (ASKED,),
        np.array([ASKED], dtype=object),
        np.array(ASKED, dtype=object),
        pd.DataFrame([ASKED]),
        [{"name": np.array("ann"), "number": np.int64(3), "list": np.array(["a", "b"])}],
    ],
    ids=["one", "a list", "a tuple", "an array", "an array of no dimension", "a table", "wrapped values"],
)
def test_requests_are_the_same_in_whatever_form_they_come(given: Any) -> None:
    assert rows(given) == [ASKED]


def test_what_is_no_object_is_handed_on_as_it_is() -> None:
    assert rows(["a text", 3]) == ["a text", 3]
    assert rows("a text") == ["a text"]
    assert rows([]) == []


def test_missing_values_of_a_table_are_left_out_and_a_null_that_was_sent_is_kept() -> None:
    row = {
        "nan": float("nan"),
        "numpy": np.float64("nan"),
        "time": pd.NaT,
        "na": pd.NA,
        "null": None,
        "list": [1],
        "empty": "",
    }
    assert without_missing(row) == {"null": None, "list": [1], "empty": ""}


def test_a_refusal_says_what_is_wrong_whatever_was_put_before_it() -> None:
    refusal = Refusal.invalid_parameter_value("query 2 has no text")
    refusal.message = f"Failed to predict data '{'x' * 1_000}'. {refusal.message}"
    assert json.loads(refusal.serialize_as_json())["message"] == "query 2 has no text"
