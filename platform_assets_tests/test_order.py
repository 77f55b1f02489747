"""The order in which files are begun: the heaviest first, whatever a run selects; and which go to one worker."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from platform_assets_tests.conftest import HEAVIEST, pytest_collection_modifyitems
from platform_assets_tests.shared_worlds import GROUPS, GroupScheduling

TESTS = Path(__file__).parent


def item(name: str, test: str, slow: bool = False) -> Any:
    return SimpleNamespace(path=TESTS / name, test=test, get_closest_marker=lambda mark: slow and mark == "slow")


@pytest.mark.parametrize("name", sorted({*HEAVIEST, *(name for group in GROUPS for name in group)}))
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


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: Path(group[0]).stem)
def test_files_of_one_world_are_one_unit_of_work_and_others_are_units_by_themselves(group: tuple[str, ...]) -> None:
    unit = partial(GroupScheduling._split_scope, object.__new__(GroupScheduling))
    assert len({unit(f"{TESTS.name}/{name}::test_a") for name in group}) == 1
    others = [f"{TESTS.name}/{name}" for name in ("core/test_lake.py", "core/test_gate.py")]
    assert [unit(f"{name}::test_a") for name in others] == others
