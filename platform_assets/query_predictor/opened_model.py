"""A model folder opened to be asked: its trees as ONNX, threshold, vocabulary, history and zero-cost categories, all of one model.

What does not belong here: routes of single queries (`router`); what the folder's files are (`model_files`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from platform_assets.query_predictor import features_document, onnx_model, text_terms, zero_cost
from platform_assets.query_predictor.history_snapshot import HistorySnapshot
from platform_assets.query_predictor.model_files import PREDICTION, ModelError, OtherRelease, read_config
from platform_assets.query_predictor.onnx_model import OnnxModel
from platform_assets.query_predictor.split_features import HISTORY, NUMBERS
from platform_assets.query_predictor.text_terms import TermWeights
from platform_assets.query_predictor.threshold import Threshold
from platform_assets.query_predictor.zero_cost import ZeroCostCategories


@dataclass(frozen=True)
class OpenedModel:
    """What answers."""

    config: dict[str, Any]
    model: OnnxModel
    threshold: Threshold
    terms: TermWeights
    history: HistorySnapshot
    """The only one that it ever serves with."""
    zero_cost: ZeroCostCategories

    @classmethod
    def open(cls, folder: Path) -> OpenedModel:
        """Raises ModelError for a folder that is not whole, or of a release with other features or another form of models."""
        if reason := of_another_release(folder):
            raise ModelError(f"{folder} {reason}: train it again")
        config = read_config(folder)
        try:
            free = ZeroCostCategories.from_json((folder / zero_cost.NAME).read_text(encoding="utf-8"))
            terms = TermWeights.from_json((folder / text_terms.NAME).read_text(encoding="utf-8"))
            model, history = OnnxModel(folder / onnx_model.NAME), HistorySnapshot.open(folder / HISTORY)
            found = cls(config, model, Threshold.read(folder), terms, history, free)
        except (OSError, ValueError) as error:
            raise ModelError(
                f"{folder} is no whole query predictor ({error}): copy it again, or train it again"
            ) from None
        if found.model.columns != config["columns"] or config["columns"] != len(NUMBERS) + len(terms):
            raise ModelError(f"{folder} holds files of several models: copy it again, or train it again")
        return found

    @property
    def week(self) -> date:
        """Its test days'; the days before it are those that it was grown, stopped and given its threshold on."""
        return date.fromisoformat(self.config["week"])

    @property
    def prediction(self) -> dict[str, Any]:
        """How it answers; the threshold is the one that is asked."""
        return {**{name: self.config[name] for name in PREDICTION}, "threshold": self.threshold.value}


def of_another_release(folder: Path) -> str:
    """Why no model of this folder can be asked by this release, where that is for the release that trained it; else nothing.

    Raises ModelError for a folder that is no model's.
    """
    try:
        config = read_config(folder)
    except OtherRelease:
        return "is of a release that writes its models in another form"
    if features_document.are_this_releases(config):
        return ""
    return "was trained on other features than this release makes"
