"""What a demo's run says that it changed."""

from __future__ import annotations

import pytest

from platform_assets.commands import changes

BEFORE = {"world_model/baskets of 2006-04-10": "a", "world_model/baskets of 2006-04-17": "b"}


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (BEFORE, "nothing changed: all 2 partitions"),
        ({**BEFORE, "world_model/baskets of 2006-04-24": "c"}, "1 partitions of world_model are new, 2 as they were"),
        (
            {**BEFORE, "world_model/baskets of 2006-04-17": "c"},
            "0 partitions of world_model are new, 1 as they were; 1 have another digest: world_model/baskets of 2006-04-17",
        ),
    ],
)
def test_a_run_says_what_it_changed(after: dict[str, str], told: str) -> None:
    assert changes.told_of("world_model", BEFORE, after).startswith(told)
