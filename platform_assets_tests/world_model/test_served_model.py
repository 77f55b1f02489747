"""The registered model as it is served: products ranked for a basket, what is visible left out, bad requests refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from platform_assets.world_model import registration
from platform_assets.world_model.asked_baskets import AskedBasket, BasketError, indices_of
from platform_assets.world_model.tensor_cache import TensorCache
from platform_assets_tests.world_model.evaluation_world import write_model
from platform_assets_tests.world_model.small_cache import write_small_cache

ASKED = {"customer_id": "CUST0000000003", "store_id": "STORE00001", "date": "2007-03-01", "hour": 17}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[TensorCache, Path]:
    """A cache, and a model of it as MLflow holds it."""
    folder = tmp_path_factory.mktemp("served")
    cache = TensorCache(write_small_cache(folder / "cache"))
    write_model(folder / "model", cache)
    registration.pack(folder / "model", folder / "packed")
    return cache, folder / "packed"


@pytest.fixture(scope="module")
def served(world: tuple[TensorCache, Path]) -> Any:
    import mlflow.pyfunc

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLATFORM_WORLD_MODEL_CACHE", str(world[0].folder))
        yield mlflow.pyfunc.load_model(str(world[1]))


def test_ten_further_products_come_with_probabilities_and_none_of_those_in_sight(served: Any) -> None:
    seen = ["PRD0000001", "PRD0000007", "nobody sells this"]
    [answer] = served.predict([{**ASKED, "products": seen}])
    names = [each["product_id"] for each in answer["products"]]
    shares = [each["probability"] for each in answer["products"]]
    assert len(set(names)) == 10
    assert not set(names) & set(seen)
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1
    assert answer["unknown_products"] == ["nobody sells this"]


def test_a_basket_is_answered_alike_alone_and_among_others(served: Any) -> None:
    asked = [{**ASKED, "products": ["PRD0000001"]}, {**ASKED, "customer_id": None, "products": []}, {**ASKED}]
    together = served.predict(asked)
    for one, answer in zip(asked, together, strict=True):
        [alone] = served.predict([one])
        assert [each["product_id"] for each in alone["products"]] == [each["product_id"] for each in answer["products"]]
    assert together[1]["products"] != together[2]["products"], "who comes makes a difference"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"date": "yesterday"}, "date is 'yesterday'; write YYYY-MM-DD"),
        ({"date": "1999-01-01"}, "before the first day that the tensor cache knows"),
        ({"hour": 25}, "hour is 25; write a whole number from 0 to 23"),
        ({"products": "PRD0000001"}, "products are a list of product ids"),
        ({"basket": 3}, "basket: a basket has the fields customer_id"),
    ],
)
def test_a_basket_that_cannot_be_read_is_refused_by_field(served: Any, change: dict[str, Any], reason: str) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match=reason):
        served.predict([{**ASKED, **change}])


@pytest.mark.parametrize(
    ("basket", "reason"),
    [
        ({**ASKED, "hour": 25}, "hour is 25; write a whole number from 0 to 23"),
        ("milk", "inputs must be a list of baskets"),
    ],
)
def test_a_refusal_of_the_scoring_server_says_what_is_wrong_and_does_not_repeat_the_request(
    served: Any, basket: Any, reason: str
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc import scoring_server

    with pytest.raises(MlflowException) as refused:
        scoring_server.invocations(json.dumps({"inputs": [basket]}), "application/json", served, None)
    assert refused.value.get_http_status_code() == 400
    assert json.loads(refused.value.serialize_as_json())["message"].startswith(reason)


def test_without_a_cache_and_with_another_ones_the_model_says_what_to_set(
    world: tuple[TensorCache, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    monkeypatch.delenv("PLATFORM_WORLD_MODEL_CACHE", raising=False)
    with pytest.raises(MlflowException, match="set PLATFORM_WORLD_MODEL_CACHE to the folder"):
        mlflow.pyfunc.load_model(str(world[1]))
    monkeypatch.setenv("PLATFORM_WORLD_MODEL_CACHE", str(write_small_cache(tmp_path / "other", seed=5)))
    with pytest.raises(MlflowException, match="trained on a tensor cache with fingerprint"):
        mlflow.pyfunc.load_model(str(world[1]))


def test_of_a_customer_only_purchases_before_the_day_count(world: tuple[TensorCache, Path]) -> None:
    cache = world[0]
    days = cache.table("purchase_days")[slice(*cache.table("customer_offsets")[3:5])]
    first = cache.document["first_day"]
    with pytest.raises(BasketError):
        indices_of(cache, [AskedBasket.read({**ASKED, "date": "2000-01-03"})], 50, 1000)
    early = indices_of(cache, [AskedBasket.read({**ASKED, "date": first})], 50, 1000)
    late = indices_of(cache, [AskedBasket.read({**ASKED, "date": "2030-01-01"})], 50, 1000)
    assert len(early.own_tokens) == 0
    assert (int(early.week), int(early.snapshot)) == (0, 0)
    assert (int(late.week), int(late.snapshot)) == (len(cache.weeks) - 1, (len(cache.weeks) - 1) // 4)
    assert int(early.days_since_previous) == -1
    assert len(late.own_tokens) == len(days)
    assert int(late.trips) == len(set(days.tolist()))
    assert (late.own_days > 0).all()
