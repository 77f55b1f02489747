"""The order in which files are begun: the heaviest first, whatever a run selects."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from platform_assets_tests.conftest import HEAVIEST, pytest_collection_modifyitems

TESTS = Path(__file__).parent


def item(name: str, test: str, slow: bool = False) -> Any:
    return SimpleNamespace(path=TESTS / name, test=test, get_closest_marker=lambda mark: slow and mark == "slow")


@pytest.mark.parametrize("name", HEAVIEST)
def test_every_file_of_the_table_is_there(name: str) -> None:
    assert (TESTS / name).is_file()


def test_the_heaviest_files_come_first_then_slow_ones_and_no_file_is_torn_apart() -> None:
    items = [
        item("core/test_a.py", "light"), item(HEAVIEST[1], "one"), item("core/test_b.py", "quick"),
        item("core/test_b.py", "slow", slow=True), item(HEAVIEST[0], "one"), item(HEAVIEST[1], "two"),
    ]  # fmt: skip
    pytest_collection_modifyitems(items)
    assert [(each.path.name, each.test) for each in items] == [
        (Path(HEAVIEST[0]).name, "one"), (Path(HEAVIEST[1]).name, "one"), (Path(HEAVIEST[1]).name, "two"),
        ("test_b.py", "quick"), ("test_b.py", "slow"), ("test_a.py", "light"),
    ]  # fmt: skip
