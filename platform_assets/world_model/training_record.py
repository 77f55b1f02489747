"""What a training of the world model is found and explained by, whoever trains: its tensor cache.

What does not belong here: how it is recorded while it goes on (`training.record`), how its model is registered
(`world_model.registration`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_assets.core.tracking import DatasetReference
from platform_assets.core.trained_on import TrainedOn
from platform_assets.training.record import Subject
from platform_assets.world_model import registration, trained_model

if TYPE_CHECKING:
    from platform_assets.world_model.training_inputs import Inputs


def subject(inputs: Inputs) -> Subject:
    """Of a training that the program makes; the newest week names the cache."""
    cache, uri = inputs.cache, str(inputs.options.tensor_cache)
    name, baskets = f"world_model/tensor_cache/{cache.weeks[-1]}", sum(inputs.sizes().values())
    read = TrainedOn([DatasetReference(name, cache.fingerprint, uri, baskets)])
    return Subject(registration.MODEL, inputs.fingerprint, read, trained_model.serving_defaults)
