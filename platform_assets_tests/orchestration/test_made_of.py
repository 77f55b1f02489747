"""Whether a model is made of what a training would read now: of all of it, and of nothing that changed since."""

from __future__ import annotations

import dagster as dg

from platform_assets.core.revision import Address, Lineage, Revision
from platform_assets.orchestration.retraining import is_made_of

WEEK = "2026-01-02"
INPUT, STEP, RESULT = (dg.AssetKey(["rooms", name]) for name in ("input", "step", "result"))


def revision(asset: dg.AssetKey, digest: str, *made_of: Revision) -> Revision:
    name, lineage = asset.to_user_string(), Lineage(tuple(each.as_input() for each in made_of))
    return Revision(Address(name, WEEK), digest, "files", None, (), (), lineage, "", f"lake/{name}")


FIRST, OTHER = revision(INPUT, "one"), revision(INPUT, "two")
MADE = revision(STEP, "step", FIRST)
LAST = revision(RESULT, "result", MADE)


def made(found: Revision, read: list[Revision], *current: Revision, through: tuple[dg.AssetKey, ...] = ()) -> bool:
    known = {(each.address.asset, each.address.partition): each for each in current}
    return is_made_of(found, read, lambda key, week: known.get((key.to_user_string(), week)), through)


def test_of_all_that_is_current_and_of_nothing_else() -> None:
    assert made(MADE, [FIRST], FIRST)
    assert made(MADE, [], FIRST)
    assert not made(MADE, [OTHER], OTHER)
    assert not made(MADE, [FIRST, revision(RESULT, "new")], FIRST), "a training would read more"
    assert not made(MADE, [], OTHER), "published anew since"
    assert not made(MADE, []), "withdrawn since"


def test_what_the_trainings_own_job_makes_is_asked_the_same_and_what_others_make_is_their_business() -> None:
    for through in ((), (STEP,)):
        assert made(LAST, [MADE], MADE, FIRST, through=through)
    assert made(LAST, [MADE], MADE, OTHER)
    assert not made(LAST, [MADE], MADE, OTHER, through=(STEP,))
