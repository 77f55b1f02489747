"""The README's Python block on the loader runs as it stands there, and its comments on shapes are true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from platform_assets_tests.world_model.small_cache import write_small_cache

README = Path(__file__).parents[2] / "README.md"
BATCH = 64


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the block leaves behind; the small cache stands where it looks for the demo's."""
    block = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(block) == 1
    home = tmp_path_factory.mktemp("readme")
    folder = re.search(r'^root = "(.+)"$', block[0], re.MULTILINE)
    assert folder
    write_small_cache(home / folder[1])
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        exec(compile(block[0], str(README), "exec"), names)
    return names


def test_a_batch_is_as_the_comments_say(found: dict[str, Any]) -> None:
    longest = found["shown"].shape[1]
    assert found["dense"].shape == (BATCH, 400)
    assert found["items"].shape == (BATCH, longest, 320)
    assert longest == int(found["shown"].sum(1).max())
    assert found["places"].shape == found["hidden"].shape
    assert (found["hidden"][found["places"] == -1] == -100).all()
    assert found["mission"].shape == (BATCH,)
    assert torch.equal(found["dense"][:, -48:], torch.zeros(BATCH, 48))


def test_a_loader_with_the_others_state_goes_on_with_the_next_batch(found: dict[str, Any]) -> None:
    following = [next(iter(each)) for each in (found["loader"], found["again"])]
    assert torch.equal(following[0].indices.tokens, following[1].indices.tokens)
    assert found["state"]["batches"] == 1


def test_evaluation_asks_for_one_product_a_basket(found: dict[str, Any]) -> None:
    assert found["answers"].shape[1] == 1
    assert found["week"] in found["cache"].weeks


def test_the_caches_getters_give_what_the_comments_say(found: dict[str, Any]) -> None:
    assert found["token"] == 3
    assert found["vector"].shape == (256,)
    assert found["vectors"].shape == (2, 256)
    assert (found["vectors"][0] == found["vector"]).all()
    assert found["newest"].shape == found["static"].shape == (160,)
    assert found["prices"].shape == (1, 4)


def test_the_runbooks_say_what_to_do_where_a_recount_finds_another_number() -> None:
    runbooks = README.parent / "docs" / "runbooks"
    rows = re.findall(
        r"^\| `(\w+)` of `(\S+)`", (runbooks / "world-model.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {("earlier_weeks_only", "world_model/customer_features"), ("no_leak", "world_model/tensor_cache")} <= set(
        rows
    )
    assert "earlier_weeks_only of" in (runbooks / "check-failed.md").read_text(encoding="utf-8")
