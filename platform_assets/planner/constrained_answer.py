"""One answer while it is decoded: what a model may say next so that only an admissible, payable plan can come out.

A grammar (llguidance) holds the form: the number of meals, then that many of the request's ids. What a grammar cannot hold,
no recipe twice and a budget for their sum, is taken from its tokens here (`planner.possible_recipes`). An id is spelt as the
tokenizer spells it in training; pieces that spell it otherwise stay masked, unless the text so far leaves no other way.

What does not belong here: tensors (`planner.key_values`).
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from platform_assets.planner import prompt
from platform_assets.planner.plans import PlanError, Request
from platform_assets.planner.possible_recipes import PossibleRecipes

if TYPE_CHECKING:
    from llguidance import LLMatcher

HEAD, _, _REST = prompt.completion(["?"]).partition("1")
BETWEEN, _, TAIL = _REST.partition(" ?")
COUNT_AT, RECIPES_AT = len(HEAD), len(HEAD) + 1 + len(BETWEEN)
KEPT_GRAMMARS = 4096
_ENDS = (b" ", b'"')


class DecodingError(RuntimeError):
    """The grammar and the tokenizer do not go together; the message says where."""


def grammar(recipe_ids: Sequence[str], most: int) -> str:
    """The answers with 1 to `most` of these ids, in Lark's notation as llguidance reads it."""
    for recipe_id in recipe_ids:
        if not _can_stand(recipe_id):
            raise PlanError(f"recipe id {recipe_id!r} cannot stand in a plan: use letters, digits, - and _")
    bodies = " | ".join(json.dumps(f"{meals}{BETWEEN}") + " ID" * meals for meals in range(1, most + 1))
    ids = " | ".join(json.dumps(f" {recipe_id}") for recipe_id in recipe_ids)
    return f"start: {json.dumps(HEAD)} body {json.dumps(TAIL)}\nbody: {bodies}\nID: {ids}\n"


class Answers:
    """Makes the answers of one tokenizer; grammars and spellings are kept, because households share them."""

    def __init__(self, tokenizer: Any) -> None:
        import llguidance.hf

        self.tokenizer = tokenizer
        self.vocabulary = llguidance.hf.from_tokenizer(tokenizer)
        self.text_of = lru_cache(maxsize=None)(lambda token: self.vocabulary.decode_bytes([token]))
        self.spelling = lru_cache(maxsize=None)(self._spell)
        self.prefix_free = lru_cache(maxsize=KEPT_GRAMMARS)(_prefix_free)
        self._shared = lru_cache(maxsize=KEPT_GRAMMARS)(lambda ids: _prefix_free(ids) and all(map(_can_stand, ids)))
        self._matcher = lru_cache(maxsize=KEPT_GRAMMARS)(self._compile)

    def begin(self, request: Request, most: int) -> ConstrainedAnswer:
        """An answer to a request, of at most `most` meals, which must be feasible (`plans.most_meals`)."""
        catalogue, candidates = tuple(request.recipes), tuple(recipe.id for recipe in request.candidates)
        # One grammar for all households, each of which takes its own part of it, wherever an id shows its end; an id that
        # cannot stand in a plan is the trouble of those alone who may eat it.
        matcher = self._matcher(catalogue if self._shared(catalogue) else candidates, most)
        return ConstrainedAnswer(self, matcher.deep_copy(), request, self.prefix_free(candidates))

    def _spell(self, recipe_id: bytes) -> tuple[int, ...]:
        return tuple(self.tokenizer(f" {recipe_id.decode()}", add_special_tokens=False)["input_ids"])

    def _compile(self, recipe_ids: tuple[str, ...], most: int) -> LLMatcher:
        from llguidance import LLMatcher

        matcher = LLMatcher(self.vocabulary, LLMatcher.grammar_from_lark(grammar(recipe_ids, most)))
        if matcher.is_error():
            raise DecodingError(f"the grammar of {len(recipe_ids)} recipes was refused: {matcher.get_error()}")
        return matcher


class ConstrainedAnswer:
    """The answer so far; `tokens` are all of it, forced ones included, and `decisions` those that the model was asked for."""

    def __init__(self, answers: Answers, matcher: LLMatcher, request: Request, prefix_free: bool) -> None:
        self.tokens: list[int] = []
        self.decisions = 0
        self._answers, self._matcher, self._request = answers, matcher, request
        self._text = b""
        self._possible: PossibleRecipes | None = None  # from the moment on at which the number of meals is known
        self._open = RECIPES_AT  # where the text of the recipe that is being named begins
        self._said: tuple[int, ...] | None = ()  # its tokens so far; None when one of them began before it
        # Only where no id begins another one does an id's last piece end it.
        self._ends_itself = prefix_free

    @property
    def text(self) -> str:
        """What was said so far."""
        return self._text.decode(errors="replace")

    @property
    def done(self) -> bool:
        """Whether the answer is complete."""
        return self._matcher.is_stopped()

    def options(self) -> Sequence[int]:
        """The tokens among which the model decides, once what is forced was said; none when the answer is done."""
        while not self.done:
            allowed = self.allowed()
            if len(allowed) > 1:
                return allowed
            self.say(allowed[0])
        return ()

    def decide(self, token: int) -> None:
        """Say the token that the model decided for."""
        self.decisions += 1
        self.say(token)

    def allowed(self) -> Sequence[int]:
        """The tokens that may come next, in ascending order; a single one is forced. Not to be asked of a done answer."""
        if spelt := self._spelt():
            return sorted(spelt)
        if forced := self._matcher.compute_ff_tokens():
            return forced[:1]
        found = [token for token in self._grammatical() if self._can_continue(self._answers.text_of(token))]
        if not found:
            raise DecodingError(f"no token can follow {self.text!r}; the tokenizer does not spell the recipes' ids")
        return found

    def say(self, token: int) -> None:
        """Add a token; raises DecodingError when the grammar does not allow it."""
        if not self._matcher.consume_token(token):
            raise DecodingError(f"token {token} cannot follow {self.text!r}: {self._matcher.get_error()}")
        self.tokens.append(token)
        self._text += self._answers.text_of(token)
        if self._possible is None and len(self._text) >= RECIPES_AT:
            self._possible = self._of_count(self._text)
            self._said = () if len(self._text) == RECIPES_AT else None
        elif self._possible is not None and self._said is not None:
            self._said = (*self._said, token)
        self._settle()

    def _of_count(self, text: bytes) -> PossibleRecipes:
        context, meals = self._request.context, int(text[COUNT_AT : COUNT_AT + 1])
        return PossibleRecipes.of(self._request.candidates, context.household.size, context.constraints, meals)

    def _spelt(self) -> set[int]:
        """The next tokens of the possible ids as the tokenizer spells them; none where that cannot be told."""
        if self._possible is None or self._said is None or not self._ends_itself:
            return set()
        said, length = self._said, len(self._said)
        spellings = map(self._answers.spelling, self._possible.prices)
        if not said:
            return {each[0] for each in spellings}
        return {each[length] for each in spellings if len(each) > length and each[:length] == said}

    def _grammatical(self) -> Iterable[int]:
        import numpy as np

        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        return map(int, np.flatnonzero(np.unpackbits(bits, bitorder="little")))

    def _can_continue(self, piece: bytes) -> bool:
        text = self._text + piece
        if len(text) <= RECIPES_AT:
            return True
        return _fits(text[self._open :], self._possible or self._of_count(text))

    def _settle(self) -> None:
        """Count the ids that are complete as chosen."""
        while self._possible is not None and (recipe_id := self._completed(self._possible)):
            self._possible = self._possible.after(recipe_id)
            self._open += 1 + len(recipe_id)
            self._said = () if len(self._text) == self._open else None

    def _completed(self, possible: PossibleRecipes) -> bytes | None:
        said = self._text[self._open :]
        end = _end(said)
        if end is not None:
            return said[1:end]
        return said[1:] if self._ends_itself and said[1:] in possible.prices else None


def _can_stand(recipe_id: str) -> bool:
    """Whether an id can be said between spaces and quotes."""
    return bool(recipe_id) and not any(sign in recipe_id for sign in ' "\\') and recipe_id.isprintable()


def _prefix_free(ids: tuple[str, ...]) -> bool:
    """Whether no id begins another one."""
    return not any(longer.startswith(shorter) for shorter, longer in pairwise(sorted(ids)))


def _end(said: bytes) -> int | None:
    """Where the id that begins with a space ends, if the text shows it."""
    if said[:1] != b" ":
        return None
    return next((at for at in range(1, len(said)) if said[at : at + 1] in _ENDS), None)


def _fits(said: bytes, possible: PossibleRecipes) -> bool:
    """Whether a text can be the beginning of what the possible recipes leave to be said; the grammar holds the rest."""
    if not said or said[:1] == b'"':
        return True
    end = _end(said)
    if end is not None:
        return said[1:end] in possible.prices and _fits(said[end:], possible.after(said[1:end]))
    at = bisect_left(possible.ids, said[1:])
    return at < len(possible.ids) and possible.ids[at].startswith(said[1:])
