"""A query's route, as serving and replay decide it: first the zero-cost categories, then features, the model and its threshold.

Everything comes from one model folder. What does not belong here: MLflow's ways (`served_model`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from platform_assets.query_predictor.context_features import Context
from platform_assets.query_predictor.onnx_model import OnnxModel
from platform_assets.query_predictor.opened_model import OpenedModel
from platform_assets.query_predictor.query_rows import POSSIBLE_YEARS
from platform_assets.query_predictor.served_features import ServedFeatures
from platform_assets.query_predictor.sql_features import ParseStatus
from platform_assets.query_predictor.text_cache import KnownText
from platform_assets.query_predictor.threshold import Threshold
from platform_assets.query_predictor.zero_cost import ZeroCostCategories

FIELDS = ("query", "user", "catalog", "schema", "clientInfo", "createTime")
_FIELDS_TOLD = f"a query has the fields {', '.join(FIELDS)}, and only the first must be there"
_SHOWN_CHARACTERS, _SHOWN_NAMES = 80, 3
HEAVY, LIGHT = "heavy", "light"
ZERO_COST, MODEL, FALLBACK = "zero_cost", "model", "fallback"


class QueryError(ValueError):
    """A query that cannot be asked about; the message names the field."""


@dataclass(frozen=True)
class AskedQuery:
    """One query, and what its session says."""

    query: str
    created: datetime
    user: str = ""
    catalog: str | None = None
    schema: str | None = None
    client_info: str | None = None

    @classmethod
    def read(cls, document: Mapping[str, Any], now: datetime) -> AskedQuery:
        """Of {query, user, catalog, schema, clientInfo, createTime}; all but the first may be left out, and `now` is when it was
        created then. Raises QueryError."""
        _expect_fields(document)
        for name in FIELDS[:-1]:
            given = document.get(name)
            if not isinstance(given, str) and (given is not None or name == "query"):
                raise QueryError(f"`{name}` is {_shown(given)}; write a text")
        texts = {name: document.get(name) or None for name in ("catalog", "schema")}
        created = _time(document.get("createTime"), now)
        return cls(
            document["query"], created, document.get("user") or "", **texts, client_info=document.get("clientInfo")
        )

    @property
    def context(self) -> Context:
        """As features read it."""
        return Context(self.created, self.catalog, self.schema, self.client_info)


@dataclass(frozen=True)
class Answer:
    """A route and why. `probability` is None where no model was asked; `category` is the zero-cost one then."""

    probability: float | None
    threshold: float
    """The model's, frozen when it was trained: a query with this probability or more is routed as heavy."""
    route: Literal["heavy", "light"]
    reason: str
    """zero_cost, model, or fallback_ and how the text was read instead of parsed: the model answers by what tokens tell."""
    snapshot_age_seconds: float
    """From the end of the history that the model knows to the query's creation; negative for a query of a time that this
    history covers or follows: its answer may know what came after it."""
    category: str | None = None

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


class Router:
    """Routes queries by one model; safe for threads."""

    def __init__(
        self, free: ZeroCostCategories, features: ServedFeatures, model: OnnxModel, threshold: Threshold
    ) -> None:
        self._free, self._features, self._model, self._threshold = free.safe, features, model, threshold

    @classmethod
    def open(cls, folder: Path) -> Router:
        """Of a model folder. Raises ModelError for one that is not whole, or of another table of features."""
        opened = OpenedModel.open(folder)
        features = ServedFeatures(opened.history, opened.terms)
        return cls(opened.zero_cost, features, opened.model, opened.threshold)

    def route(self, queries: Sequence[AskedQuery]) -> list[Answer]:
        """One answer a query, in their order; the same alone and among others."""
        known = [self._features.texts.known(each.query) for each in queries]
        asked = [(text, each) for text, each in zip(known, queries, strict=True) if text.category not in self._free]
        rows = [self._features.row(text, each.user, each.context) for text, each in asked]
        scores = self._model.scores(np.stack([row.values for row in rows])) if rows else np.empty(0, np.float32)
        modelled = iter(zip(rows, scores, self._threshold.routes(scores), strict=True))
        return [self._answer(each, text, modelled) for each, text in zip(queries, known, strict=True)]

    def _answer(self, query: AskedQuery, text: KnownText, modelled: Any) -> Answer:
        age = self._features.snapshot.age_seconds(query.created)
        if text.category in self._free:
            return Answer(None, self._threshold.value, LIGHT, ZERO_COST, age, text.category)
        row, score, is_heavy = next(modelled)
        reason = MODEL if row.status == ParseStatus.PARSED else f"{FALLBACK}_{row.status.name.lower()}"
        return Answer(float(score), self._threshold.value, HEAVY if is_heavy else LIGHT, reason, age)


def _expect_fields(document: Mapping[str, Any]) -> None:
    if unknown := sorted(map(str, set(document) - set(FIELDS))):
        more = f" and {len(unknown) - _SHOWN_NAMES} more" if len(unknown) > _SHOWN_NAMES else ""
        names = ", ".join(_shown(name) for name in unknown[:_SHOWN_NAMES])
        raise QueryError(f"has the unknown field{'s' * (len(unknown) > 1)} {names}{more}; {_FIELDS_TOLD}")
    if "query" not in document:
        raise QueryError(f"has no `query`; {_FIELDS_TOLD}")


def _time(given: Any, now: datetime) -> datetime:
    if given is None:
        return now
    example = "write it as 2026-01-05T12:00:00Z"
    try:
        found = given if isinstance(given, datetime) else datetime.fromisoformat(str(given))
    except ValueError:
        raise QueryError(f"`createTime` is {_shown(given)}; {example}") from None
    if found.tzinfo is None:
        raise QueryError(f"`createTime` is {_shown(given)}, without a time zone; {example}")
    # What no log may hold; beyond them, a time zone may lead out of the calendar.
    if found.year not in POSSIBLE_YEARS:
        years = f"{POSSIBLE_YEARS.start} to {POSSIBLE_YEARS.stop - 1}"
        raise QueryError(f"`createTime` is {_shown(given)}, outside the years {years}; {example}")
    return found.astimezone(UTC)


def _shown(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
