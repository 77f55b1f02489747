"""Whether a model is made of what a training would read now, by today's code: of all of it, and of nothing that changed since."""

from __future__ import annotations

import dagster as dg
import pytest

from platform_assets.core.revision import Address, Lineage, Revision
from platform_assets.orchestration.retraining import is_made_of

WEEK = "2026-01-02"
INPUT, STEP, RESULT = (dg.AssetKey(["rooms", name]) for name in ("input", "step", "result"))


VERSIONS = {STEP: "step 2", RESULT: "result 5"}


def revision(asset: dg.AssetKey, digest: str, *made_of: Revision, code: str | None = None) -> Revision:
    version = VERSIONS.get(asset, "input 1") if code is None else code
    name, lineage = asset.to_user_string(), Lineage(tuple(each.as_input() for each in made_of), code_version=version)
    return Revision(Address(name, WEEK), digest, "files", None, (), (), lineage, "", f"lake/{name}")


FIRST, OTHER = revision(INPUT, "one"), revision(INPUT, "two")
MADE = revision(STEP, "step", FIRST)
LAST = revision(RESULT, "result", MADE)


def made(
    found: Revision, read: list[Revision], *current: Revision, of_the_job: tuple[dg.AssetKey, ...] = (STEP, RESULT)
) -> bool:
    known = {(each.address.asset, each.address.partition): each for each in current}
    versions = {asset: VERSIONS[asset] for asset in of_the_job}
    return is_made_of(found, read, lambda key, week: known.get((key.to_user_string(), week)), versions)


def test_of_all_that_is_current_and_of_nothing_else() -> None:
    assert made(MADE, [FIRST], FIRST)
    assert made(MADE, [], FIRST)
    assert not made(MADE, [OTHER], OTHER)
    assert not made(MADE, [FIRST, revision(RESULT, "new")], FIRST), "a training would read more"
    assert not made(MADE, [], OTHER), "published anew since"
    assert not made(MADE, []), "withdrawn since"


def test_what_the_trainings_own_job_makes_is_asked_the_same_and_what_others_make_is_their_business() -> None:
    for assets in ((RESULT,), (STEP, RESULT)):
        assert made(LAST, [MADE], MADE, FIRST, of_the_job=assets)
    assert made(LAST, [MADE], MADE, OTHER, of_the_job=(RESULT,))
    assert not made(LAST, [MADE], MADE, OTHER)


@pytest.mark.parametrize("code", ["step 1", ""])
def test_what_the_trainings_own_job_makes_is_by_todays_code_and_by_what_code_others_make_is_their_business(
    code: str,
) -> None:
    older = revision(STEP, "step", FIRST, code=code)
    assert not made(older, [FIRST], FIRST), "the revision itself"
    assert not made(LAST, [older], older, FIRST), "what it was made of, with the same bytes"
    assert made(LAST, [older], older, FIRST, of_the_job=(RESULT,))
    assert not made(revision(RESULT, "result", MADE, code=code), [MADE], MADE, FIRST)
    assert made(MADE, [FIRST], revision(INPUT, "one", code=code))
