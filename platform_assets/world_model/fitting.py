"""The world model in training: a network on a device beside the cache's tables, its loss, and what validation measures.

What does not belong here: the loss itself (`world_model.objective`), how a training runs (`training`), the command line
(`world_model.training`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from platform_assets.training.data import Batch
from platform_assets.training.module import Optimisation, TargetLossModule
from platform_assets.training.randomness import seed_torch
from platform_assets.world_model import objective
from platform_assets.world_model.basket_batches import Shown
from platform_assets.world_model.network import Encoder, NetworkOptions, Predictions, WorldModelNetwork
from platform_assets.world_model.tensor_cache import TensorCache


class HiddenProducts(TargetLossModule):
    """Learns what is hidden in train baskets, and the tasks beside it. Judged by the hidden products alone.

    `encoder_on` gives the encoder of a device: it is no part of the module, whose state every rank would be sent.
    """

    network: WorldModelNetwork
    remedy = (
        "lower the learning rate or the gradient clipping's limit; in half precision also try full precision. Before the first "
        "step a table of the tensor cache is at fault: materialise world_model/tensor_cache of this week again"
    )

    def __init__(
        self,
        network: WorldModelNetwork,
        encoder_on: Callable[[torch.device], Encoder],
        optimisation: Optimisation,
        seed: int,
    ) -> None:
        self._tasks = network.options.auxiliary
        super().__init__(network, optimisation, seed)
        self._encoder_on = encoder_on
        # Read by DistributedDataParallel, which else sends the cache's tables around and writes into read-only files.
        self._ddp_params_and_buffers_to_ignore = [f"network.{name}" for name in network.table_names()]

    def target_loss(self, content: Shown) -> Tensor:
        """Cross-entropy in nats, summed over hidden products."""
        return objective.masked_loss(self._predict(content), content.indices)

    def learned_and_shown(self, content: Shown) -> tuple[Tensor, Tensor]:
        """The loss with the tasks', and that of the hidden products."""
        predictions = self._predict(content)
        loss = objective.masked_loss(predictions, content.indices)
        others = (objective.task_losses(predictions, content.indices) * content.scales).sum()
        return loss + others, loss.detach()

    @property
    def measures(self) -> int:
        """How many numbers `measure` adds up."""
        return objective.measures(len(self._tasks))

    def measure(self, batch: Batch) -> Tensor:
        """[measures] in float64; on the device, so that nothing waits for it."""
        return objective.measured(self._predict(batch.content), batch.content.indices)

    def metrics_of(self, sums: Tensor) -> dict[str, float]:
        """Hits of hidden products, and losses and accuracies of the tasks."""
        return objective.metrics(sums, self._tasks)

    def _predict(self, content: Shown) -> Predictions:
        return self.network(content.indices, self._encoder_on(content.indices.tokens.device), self.training)


def fresh_network(options: NetworkOptions, cache: TensorCache, seed: int, compiled: bool = False) -> WorldModelNetwork:
    """A network with its first weights; its body compiled at first use where that is asked for."""
    seed_torch("network", seed)
    network = WorldModelNetwork(options, cache)
    network.evidence.count(cache)
    if compiled:
        # In place: names of weights stay as they are. Lengths differ by batch.
        network.body.compile(dynamic=True)
    return network
