"""What the two folders of a model say: base.json of the base that a training starts from, planner.json of what it writes.

    base.json, for the kind "files" with an ordinary transformers folder beside it; the kind "reference" only points to a local
    folder or a hub id at a revision

    adapter/  base/  planner.json  recipes.parquet  training_rows.parquet  metrics.json  loss.png

planner.json binds the parts together: an adapter put on another base, or asked in another format, plans nonsense without any
error. What does not belong here: loading weights (`planner.language_model`), how a training fills the folder.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from platform_assets.planner.plans import MOST_MEALS, PlanError
from platform_assets.planner.prompt import PromptFormat

PLANNER, ADAPTER, BASE_FOLDER = "planner.json", "adapter", "base"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
BASE = "base.json"
FILES, REFERENCE = "files", "reference"
DTYPES = ("float32", "bfloat16", "float16")
BATCH_SIZE = 64
NF4 = "nf4"
QUANTIZATIONS = ("", NF4)


class ModelError(RuntimeError):
    """A model that cannot be used as it is; the message names what is wrong and what to do."""


@dataclass(frozen=True)
class BaseModel:
    """What base.json says."""

    model_base: str
    revision: str
    kind: str
    digest: str
    dtype: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """What a training from it rests on: which weights, in which numbers."""
        return f"{self.digest}:{self.dtype}"

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> BaseModel:
        """From base.json; raises KeyError."""
        return cls(**{each.name: document[each.name] for each in fields(cls)})


def read_base(folder: Path) -> BaseModel:
    """The description of a base folder; raises ModelError."""
    path = folder / BASE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        base = BaseModel.from_document(document)
    except FileNotFoundError:
        raise ModelError(
            f"{folder} is no base folder, it has no {BASE}: give a folder that planner/base_model wrote"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is not a base model's description ({error!r}): write it again") from None
    if base.kind not in (FILES, REFERENCE) or base.dtype not in DTYPES:
        raise ModelError(
            f"{path} says kind {base.kind!r} and dtype {base.dtype!r}; kinds are {FILES} and {REFERENCE}, dtypes {DTYPES}"
        )
    return base


@dataclass(frozen=True)
class Decoding:
    """How answers are decoded; greedily, so that there is no temperature to set."""

    dtype: str = "float32"
    """Of the weights: in float32 a plan does not depend on its batch."""
    batch_size: int = BATCH_SIZE
    """Rows decoded at once."""
    seed: int = 0
    """Recorded only: nothing is drawn."""
    max_meals: int = MOST_MEALS
    """Most meals of a plan, where the budget allows them."""
    quantization: str = ""
    """Of the base that the adapter was trained over: nf4, or none. Where CUDA or bitsandbytes is missing the base is loaded
    whole, in `dtype`, and plans can differ; what was loaded is told."""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if self.dtype not in DTYPES or self.batch_size < 1 or not 1 <= self.max_meals <= MOST_MEALS:
            raise ValueError(f"dtype is one of {DTYPES}, batch_size 1 or more, max_meals 1 to {MOST_MEALS}: {self}")
        if self.quantization not in QUANTIZATIONS:
            raise ValueError(f"quantization is one of {QUANTIZATIONS}: {self}")


@dataclass(frozen=True)
class PlannerDocument:
    """What planner.json says."""

    base_digest: str
    form: PromptFormat
    decoding: Decoding


def read_planner(folder: Path) -> PlannerDocument:
    """The description of a model folder; raises ModelError."""
    path = folder / PLANNER
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        form, decoding = PromptFormat.from_document(document["format"]), Decoding(**document["decoding"])
        found = PlannerDocument(document["base_digest"], form, decoding)
    except FileNotFoundError:
        raise ModelError(f"{folder} is no model folder, it has no {PLANNER}: give one that a training wrote") from None
    except PlanError as error:
        raise ModelError(f"{path}: {error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is not a planner's description ({error!r}): train the model again") from None
    if document.get("prompt_digest") != form.digest:
        logging.getLogger(__name__).warning("%s: the code that renders prompts was changed since the training", path)
    return found
