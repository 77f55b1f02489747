"""The world model's network: a basket's context and visible items in, what the hidden ones are out.

One context token (of T1, T3, T5, and T6 where it is given) stands before the items; a small transformer mixes them. A hidden
item's probability is by the softmax of <projection, a learned table that starts as the product vectors> + bias, and this is one
of the voices of `world_model.mixture`; the projection starts at zero and the bias at log popularity, so that an untrained
network says what is popular.
The auxiliary heads start as a look-up in the train baskets' classes (`world_model.basket_evidence`) in the same way.
PAD, UNK and MASK are no candidates. Visible items are not excluded here: whoever ranks does that (`exclude_visible`).

T6 spells out the labels of the auxiliary heads: a network has the heads or T6, never both. What does not belong here: the loss
(`world_model.objective`), files (`world_model.trained_model`), tensors (`world_model.encoder`).

B baskets, S items, M hidden items of the basket with the most, n hidden items of all baskets, P tokens, D width.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from platform_assets.world_model import model_files
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.basket_evidence import BasketEvidence
from platform_assets.world_model.batch import DENSE, NO_POSITION, SEQUENCE, T1, T2, T3, T4, Indices, WorldModelBatch
from platform_assets.world_model.mixture import MixtureShares, MixtureWeights, log_mixture, mixture_context, visible
from platform_assets.world_model.tensor_cache import TensorCache

HEAD_WIDTH = 64
# Of T1: the segments. Of T3: the recency of the customer's previous basket.
_SEGMENTS, _RECENCY = slice(0, 64), slice(248, 256)


@dataclass(frozen=True)
class NetworkOptions:
    """Size and senses of a network."""

    width: int = 128
    heads: int = 4
    layers: int = 2
    dropout: float = 0.1
    auxiliary: tuple[str, ...] = tuple(layout.LABELS)
    with_trip: bool = False
    without_price: bool = False
    without_customer: bool = False
    without_time: bool = False
    without_segments: bool = False
    without_mixture: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for heads that would be told their labels, and for sizes that do not go together."""
        if self.with_trip and self.auxiliary:
            raise ValueError(
                "T6 holds the labels of the auxiliary tasks: a network is given T6 or learns them, not both"
            )
        if unknown := set(self.auxiliary) - layout.LABELS.keys():
            raise ValueError(f"auxiliary tasks are {', '.join(layout.LABELS)}, not {', '.join(sorted(unknown))}")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")


class Predictions(NamedTuple):
    """Logits of every token for every hidden item, by basket and then by position; and of each task's classes by basket."""

    logits: Tensor  # [n, P] float32
    network_logits: Tensor  # [n, P] float32, without the mixture
    auxiliary: dict[str, Tensor]  # task -> [B, classes]


class Encoder(Protocol):
    """`world_model.encoder.TensorEncoder`, on the network's device."""

    def dense(self, indices: Indices, with_trip: bool) -> Tensor:
        """[B, 400]."""
        ...

    def sequence(self, indices: Indices) -> Tensor:
        """[B, S, 320]."""
        ...


class Body(nn.Module):
    """Everything between the tensors and the hidden states; what `compile` compiles."""

    def __init__(self, options: NetworkOptions) -> None:
        super().__init__()
        width = options.width
        self.context = nn.Linear(DENSE, width)
        self.product, self.price = nn.Linear(T2.stop, width), nn.Linear(SEQUENCE - T4.start, width, bias=False)
        # Product vectors have a mean norm of 1, prices one of 3 to 5: neither is to drown the other.
        nn.init.normal_(self.product.weight, std=1.0)
        nn.init.normal_(self.price.weight, std=0.1)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, options.heads, 4 * width, options.dropout, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(options.layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, dense: Tensor, sequence: Tensor, padding: Tensor) -> Tensor:
        """[B, S + 1, D] of [B, 400], [B, S, 320] and [B, S] bool; the first state is the context's."""
        items = self.product(sequence[:, :, T2]) + self.price(sequence[:, :, T4])
        states = torch.cat([self.context(dense)[:, None], items], 1)
        nothing = torch.cat([padding.new_zeros(len(padding), 1), padding], 1)
        for layer in self.layers:
            states = layer(states, src_key_padding_mask=nothing)
        return self.norm(states)


class WorldModelNetwork(nn.Module):
    """Trained on one cache, whose products it knows; tables of the cache are part of it, but of no checkpoint."""

    candidates: Tensor

    def __init__(self, options: NetworkOptions, cache: TensorCache) -> None:
        super().__init__()
        self.options = options
        width = options.width
        self.body = Body(options)
        self.projection = nn.Linear(width, width)
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)
        self.table, self.bias = nn.Parameter(_first_columns(cache, width)), nn.Parameter(_log_popularity(cache))
        self.evidence = BasketEvidence(cache, options.auxiliary)
        self.heads = nn.ModuleDict(
            {task: _head(width + self.evidence.width, len(layout.LABELS[task])) for task in options.auxiliary}
        )
        self.shares = None if options.without_mixture else MixtureShares(cache)
        self.weights = None if options.without_mixture else MixtureWeights()
        barred = torch.zeros(cache.tokens)
        barred[: layout.FIRST_PRODUCT] = -torch.inf
        self.register_buffer("candidates", barred, persistent=False)

    def forward(self, batch: WorldModelBatch | Indices, encoder: Encoder, leave_one_out: bool = False) -> Predictions:
        """What is hidden in baskets; `leave_one_out` for those of train weeks that it is trained on."""
        indices = batch.indices if isinstance(batch, WorldModelBatch) else batch
        states = self.body(*self._seen(indices, encoder), indices.tokens == layout.PAD)
        rows, places = hidden(indices)
        found = self.projection(states[rows, places + 1]) @ self.table.T
        network = found.float() + self.bias + self.candidates
        logits = network if self.shares is None else self._mixed(indices, network, rows, leave_one_out)
        return Predictions(logits, network, self._classes(indices, states[:, 0], leave_one_out))

    def mixture_weights(self, indices: Indices) -> Tensor:
        """[B, F + 1] how much each of `mixture.VOICES` counts. Raises ValueError for a network without them."""
        if self.weights is None:
            raise ValueError("this network was made without the mixture")
        return self.weights(mixture_context(indices, not self.options.without_customer)).float()

    def table_names(self) -> list[str]:
        """Names of the buffers that are the cache's, the same in every process."""
        return [name for name, _ in self.named_buffers()]

    def _seen(self, indices: Indices, encoder: Encoder) -> tuple[Tensor, Tensor]:
        """The tensors, without those that the options withhold."""
        options = self.options
        with torch.no_grad():
            dense, sequence = encoder.dense(indices, options.with_trip), encoder.sequence(indices)
        withheld = (
            (options.without_customer, T1), (options.without_customer, _RECENCY), (options.without_segments, _SEGMENTS),
            (options.without_time, T3),
        )  # fmt: skip
        if any(on for on, _ in withheld):
            dense = dense.clone()
            for part in (part for on, part in withheld if on):
                dense[:, part] = 0
        if options.without_price:
            sequence = torch.cat([sequence[:, :, T2], torch.zeros_like(sequence[:, :, T4])], 2)
        return dense, sequence

    def _classes(self, indices: Indices, context: Tensor, leave_one_out: bool) -> dict[str, Tensor]:
        """Task -> [B, classes] of [B, D]."""
        if not self.heads:
            return {}
        seen = self.evidence(indices)
        known = torch.cat([context, seen.features.to(context.dtype)], 1)
        left_out = indices if leave_one_out else None
        return {
            task: head(known).float() + self.evidence.look_up(task, seen.keys, left_out)
            for task, head in self.heads.items()
        }

    def _mixed(self, indices: Indices, network: Tensor, rows: Tensor, leave_one_out: bool) -> Tensor:
        """[n, P] float32."""
        assert self.shares is not None
        with torch.no_grad():
            shares = self.shares(indices, not self.options.without_customer, leave_one_out)
        with torch.autocast(shares.device.type, enabled=False):
            said = torch.softmax(network, -1)
            return log_mixture(self.mixture_weights(indices), shares, said, rows) + self.candidates


def hidden(indices: Indices) -> tuple[Tensor, Tensor]:
    """([n] baskets, [n] positions) of the hidden items, in the order of `Predictions`."""
    rows, columns = torch.nonzero(indices.masked_positions != NO_POSITION, as_tuple=True)
    return rows, indices.masked_positions[rows, columns]


def targets(indices: Indices) -> Tensor:
    """[n] what is hidden there."""
    return indices.masked_targets[indices.masked_positions != NO_POSITION]


def exclude_visible(logits: Tensor, indices: Indices) -> Tensor:
    """[n, P]: the logits, -inf for what is in sight in the same basket, which is not asked for."""
    rows, _ = hidden(indices)
    seen = indices.tokens * visible(indices)
    barred = torch.zeros(len(seen), logits.shape[1], device=logits.device).scatter_(1, seen, -torch.inf)
    return logits + barred[rows]


def _log_popularity(cache: TensorCache) -> Tensor:
    """[P] log of each product's share of the train baskets' items; one more of each, so that none is impossible."""
    baskets = torch.from_numpy(cache.table("product_baskets").astype("float32")) + 1
    return (baskets / baskets[layout.FIRST_PRODUCT :].sum()).log()


def _head(width: int, classes: int) -> nn.Module:
    last = nn.Linear(HEAD_WIDTH, classes)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, HEAD_WIDTH), nn.GELU(), last)


def save(network: WorldModelNetwork, folder: Path, document: dict[str, Any]) -> None:
    """Write weights.safetensors and network.json, which says `document` beside what `load` needs."""
    model_files.write(folder, network.state_dict(), {**document, "network": asdict(network.options)})


def load(folder: Path, cache: TensorCache) -> tuple[WorldModelNetwork, dict[str, Any]]:
    """The network of a model folder, in evaluation mode, and what its network.json says.

    Raises ModelError for a folder that holds no whole model, or one that was trained on another cache.
    """
    document = model_files.read_document(folder)
    model_files.require_cache(folder, document, cache.fingerprint)
    options = document["network"]
    network = WorldModelNetwork(NetworkOptions(**{**options, "auxiliary": tuple(options["auxiliary"])}), cache)
    model_files.load_weights(folder, network)
    return network.eval(), document


def _first_columns(cache: TensorCache, width: int) -> Tensor:
    """[P, D]: of the product vectors those columns that say most; zero beyond their number."""
    vectors = torch.from_numpy(cache.table("product_embeddings")[:, :width].copy())
    return nn.functional.pad(vectors, (0, width - vectors.shape[1]))
