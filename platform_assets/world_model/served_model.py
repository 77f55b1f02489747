"""The registered model as MLflow serves it: baskets so far in, the likeliest further products out. Logged as code, not pickled.

One request is a basket (`asked_baskets.FIELDS`): `{"inputs": [{"customer_id": ..., "store_id": ..., "date": "2008-07-01", "hour": 17,
"products": ["PRD0900001"]}]}` to the scoring server. The model speaks of the products, customers and stores of one tensor cache, and
reads them from it: PLATFORM_WORLD_MODEL_CACHE names its folder, one with another fingerprint is refused. Every answer says what
week the cache knows last.

MLFLOW_DEFAULT_PREDICTION_DEVICE (cpu, cuda:1) says where it computes; else on CUDA where there is some.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mlflow.environment_variables import MLFLOW_DEFAULT_PREDICTION_DEVICE
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from platform_assets.core.served_requests import Refusal, rows, without_missing

CACHE = "PLATFORM_WORLD_MODEL_CACHE"
TOP = 10


class ServedWorldModel(PythonModel):
    """Loads the network among its artefacts beside the tensor cache, and ranks products."""

    # MLflow would check requests by a type hint of `model_input`; `AskedBasket.read` checks them, and says what is wrong.
    _skip_type_hint_validation = True

    def load_context(self, context: PythonModelContext) -> None:
        """Open the cache and load the weights. Raises MlflowException when the cache is not named or another one."""
        import torch

        from platform_assets.world_model import network
        from platform_assets.world_model.dataset import WorldModelDataset
        from platform_assets.world_model.model_files import ModelError
        from platform_assets.world_model.tensor_cache import TensorCacheError

        folder = os.environ.get(CACHE)
        if not folder:
            raise MlflowException(f"set {CACHE} to the folder of the tensor cache that the model was trained on")
        self._device = MLFLOW_DEFAULT_PREDICTION_DEVICE.get() or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            data = WorldModelDataset(folder, "test", load_transactions=False)
            found, document = network.load(Path(context.artifacts["model"]), data.cache)
        except (TensorCacheError, ModelError) as error:
            raise MlflowException(str(error)) from error
        self._cache, self._options = data.cache, document["options"]
        self._network = found.to(self._device)
        self._encoder = data.encoder_on(torch.device(self._device))

    def predict(self, context: PythonModelContext, model_input, params: dict[str, Any] | None = None) -> list[Any]:
        """[{products: [{product_id, probability}], unknown_products, known_until}] in the order of the requests.

        A basket that cannot be read is refused, status 400, and why.
        """
        from platform_assets.world_model.asked_baskets import AskedBasket, BasketError

        try:
            return self._answer([AskedBasket.read(row) for row in _rows(model_input)])
        except BasketError as error:
            raise Refusal.invalid_parameter_value(str(error)) from error

    def _answer(self, baskets: list[Any]) -> list[dict[str, Any]]:
        import torch

        from platform_assets.world_model import asked_baskets, network
        from platform_assets.world_model.tensor_layout import UNK

        if not baskets:
            return []
        options, cache = self._options, self._cache
        asked = asked_baskets.indices_of(cache, baskets, int(options["max_length"]), int(options["purchase_history"]))
        asked = asked.to(self._device)
        with torch.no_grad():
            logits = network.exclude_visible(self._network(asked, self._encoder).logits, asked).cpu()
        return [
            {
                "products": [
                    {"product_id": product, "probability": share}
                    for product, share in asked_baskets.ranked(row, cache, TOP)
                ],
                "unknown_products": [each for each in basket.products if cache.product_id_to_idx(each) == UNK],
                "known_until": cache.weeks[-1],
            }
            for basket, row in zip(baskets, logits, strict=True)
        ]


def _rows(model_input: Any) -> list[dict[str, Any]]:
    """The requests, without what is null. Raises BasketError for what is no basket."""
    from platform_assets.world_model.asked_baskets import BasketError

    found = rows(model_input)
    if not all(isinstance(row, dict) for row in found):
        raise BasketError(
            'inputs must be a list of baskets such as {"store_id": "...", "date": "2008-07-01", "hour": 17}'
        )
    return [{name: value for name, value in without_missing(row).items() if value is not None} for row in found]


set_model(ServedWorldModel())
