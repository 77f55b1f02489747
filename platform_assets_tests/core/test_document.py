"""Documents of a model folder: the same bytes for the same content, and a folder that is not whole is refused with a remedy."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.core.document import read_versioned, write_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(), each, max_size=3),
    max_leaves=8,
)


class FolderError(ValueError):
    """As a pipeline has its own."""


def read(folder: Path, version: int = 2) -> dict[str, Any]:
    return read_versioned(folder / "form.json", version, noun="model boat", program="yard.training", error=FolderError)


@given(document=st.dictionaries(st.text(), VALUES, max_size=4))
def test_what_was_written_is_read_and_its_order_leaves_the_bytes_alone(
    document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("folder")
    document = {**document, "version": 2}
    write_json(folder / "form.json", document)
    written = (folder / "form.json").read_bytes()
    assert read(folder) == document
    write_json(folder / "form.json", dict(reversed(document.items())))
    assert (folder / "form.json").read_bytes() == written


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_in_json_is_not_written(value: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "form.json", {"loss": [value]})
    assert not (tmp_path / "form.json").exists()


class OfAnotherRelease(FolderError):
    """For whom another release is no failure."""


@pytest.mark.parametrize(
    ("found", "error"), [(1, OfAnotherRelease), (3, OfAnotherRelease), (None, FolderError), ("2", FolderError), (True, FolderError)]
)  # fmt: skip
def test_another_number_is_another_releases_and_none_at_all_a_broken_document(
    found: object, error: type[Exception], tmp_path: Path
) -> None:
    (tmp_path / "form.json").write_text(json.dumps({"version": found}))
    with pytest.raises(FolderError, match=f"has version {found} of a model boat, this code reads 2") as raised:
        read_versioned(
            tmp_path / "form.json", 2, noun="model boat", program="yard.training", error=FolderError,
            of_another_release=OfAnotherRelease,
        )  # fmt: skip
    assert type(raised.value) is error


def test_a_folder_without_the_document_is_refused_and_so_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        said = f"{folder} has no form.json: it is no model boat, or not a whole one; name a folder that yard.training wrote"
        with pytest.raises(FolderError, match=f"^{re.escape(said)}$"):
            read(folder)


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 2', b"\xff\xfe", b"[]", b'"version"', b"2", b"null"])
def test_a_document_that_cannot_be_read_is_refused_by_its_path(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "form.json").write_bytes(content)
    with pytest.raises(FolderError, match=r"form\.json cannot be read \(.+\): copy it again, or train it again$"):
        read(tmp_path)


@pytest.mark.parametrize("document", [{}, {"version": 1}, {"version": "2"}, {"version": None}])
def test_another_version_is_refused(document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "form.json").write_text(json.dumps(document))
    said = f"has version {document.get('version')} of a model boat, this code reads 2: train it again"
    with pytest.raises(FolderError, match=f"{re.escape(said)}$"):
        read(tmp_path)
