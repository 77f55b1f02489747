"""Greedy decoding of many rows at once: what a model has read of a row is kept as keys and values, not read again.

What all prompts begin with is read once and its keys and values are repeated for every row; then each forward pass feeds only
the new tokens of every row, padded on the left, with the positions they have in their own row. All but the last token of a
prompt are read only as far as their keys and values (`planner.roomy_cache`). A row that is done leaves the batch. In float32
a row's choices do not depend on who is in the batch with it; in bfloat16 they can.

What a row may say is asked of the row (`Row`). What does not belong here: plans, grammars, text.
Legend: B rows of the batch, S tokens that were read, N new tokens, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Protocol

import torch

from platform_assets.planner.roomy_cache import RoomyCache

# Of all rows, padding included: long prompts are read in parts that stay in a processor's cache (measured on a small model:
# about 15 % less time than at once), and that bound the memory a large one needs.
PASS_TOKENS = 2048
# Of all rows too: so few are read with their scores in one pass, because a pass of its own costs more than it saves.
FEW_TOKENS = 256


class Row(Protocol):
    """One answer that is being decoded."""

    tokens: list[int]
    """What was said so far."""

    def options(self) -> Sequence[int] | None:
        """The tokens among which to decide, ascending; an empty list when the row is done; None: all there are.

        May first add to `tokens` what needs no decision.
        """
        ...

    def decide(self, token: int) -> None:
        """Add the token that was decided for."""
        ...


@torch.inference_mode()
def decode_greedily(model: Any, prompts: Sequence[Sequence[int]], rows: Sequence[Row], batch_size: int) -> None:
    """Let every row say its most likely answer to its prompt; rows of like length share a batch, which pads least."""
    shared = shared_prefix(prompts)
    prefix = RoomyCache(model)
    if shared:
        _Batch(model, prefix, torch.zeros((1, 0), dtype=torch.long, device=model.device)).read([prompts[0][:shared]])
    order = sorted(range(len(rows)), key=lambda index: (len(prompts[index]), index))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        cache = copy.deepcopy(prefix)
        if shared:
            cache.batch_repeat_interleave(len(chosen))
        seen = torch.ones((len(chosen), shared), dtype=torch.long, device=model.device)
        _decode(_Batch(model, cache, seen), [rows[i] for i in chosen], [prompts[i][shared:] for i in chosen])


def shared_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with, leaving each at least one of its own; 0 for a prompt alone."""
    if len(prompts) < 2:
        return 0
    # What the first and the last in order begin with, all between them begin with.
    first, last = min(map(tuple, prompts)), max(map(tuple, prompts))
    same = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    return min(same, min(map(len, prompts)) - 1)


class _Batch:
    """Rows that are read together: their keys and values, and which of the (B, S) positions are tokens, not padding."""

    def __init__(self, model: Any, cache: RoomyCache, seen: torch.Tensor) -> None:
        self.model, self.cache, self.seen = model, cache, seen

    def read(self, pieces: Sequence[Sequence[int]]) -> torch.Tensor:
        """Read each row's new tokens, one at least; returns the (B, V) scores of what comes next."""
        longest = max(map(len, pieces))
        new = torch.tensor([[0] * (longest - len(piece)) + list(piece) for piece in pieces], device=self.seen.device)
        real = torch.tensor([[0] * (longest - len(piece)) + [1] * len(piece) for piece in pieces], device=new.device)
        if new[:, :-1].numel() > FEW_TOKENS:
            self._keep_read(new[:, :-1], real[:, :-1])
            new, real = new[:, -1:], real[:, -1:]
        return self._forward(new, real).logits[:, -1].float()

    def _keep_read(self, new: torch.Tensor, real: torch.Tensor) -> None:
        """Read what stands before each row's last token: nobody asks for its scores."""
        columns = max(1, PASS_TOKENS // len(new))
        for part in zip(new.split(columns, dim=1), real.split(columns, dim=1), strict=True):
            with self.cache.reading_only():
                self._forward(*part)

    def _forward(self, new: torch.Tensor, real: torch.Tensor) -> Any:
        self.seen = torch.cat([self.seen, real], dim=1)
        return self.model(
            input_ids=new,
            attention_mask=self.seen,
            position_ids=(self.seen.cumsum(dim=1) - 1).clamp(min=0)[:, -new.shape[1] :],
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )

    def keep(self, rows: Sequence[int]) -> None:
        """Let the others leave."""
        indices = torch.tensor(rows, device=self.seen.device)
        self.cache.batch_select_indices(indices)
        self.seen = self.seen[indices]


def _decode(batch: _Batch, rows: Sequence[Row], unread: Sequence[Sequence[int]]) -> None:
    options = [row.options() for row in rows]
    pieces = [[*prompt, *row.tokens] for prompt, row in zip(unread, rows, strict=True)]
    while True:
        going = [index for index, each in enumerate(options) if each is None or each]
        if not going:
            return
        if len(going) < len(rows):
            batch.keep(going)
            rows, options = [rows[index] for index in going], [options[index] for index in going]
            pieces = [pieces[index] for index in going]
        said = [len(row.tokens) for row in rows]
        for row, token in zip(rows, _best(batch.read(pieces), options), strict=True):
            row.decide(token)
        options = [row.options() for row in rows]
        pieces = [row.tokens[length:] for row, length in zip(rows, said, strict=True)]


def _best(scores: torch.Tensor, options: Sequence[Sequence[int] | None]) -> list[int]:
    """Each row's highest-scored option; the smallest token where scores are equal."""
    free = scores.argmax(dim=1).tolist() if None in options else []
    width = max((len(each) for each in options if each), default=1)
    # Filled up with an option that is there already, behind it: the first of equal scores wins.
    filled = [[*each, *[each[0]] * (width - len(each))] if each else [0] * width for each in options]
    table = torch.tensor(filled, device=scores.device)
    best = table.gather(1, scores.gather(1, table).argmax(dim=1, keepdim=True))[:, 0].tolist()
    return [free[row] if each is None else best[row] for row, each in enumerate(options)]
