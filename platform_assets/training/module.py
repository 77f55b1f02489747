"""A network trained on predicted targets: the loss over all targets of an optimizer step, AdamW, a cosine schedule.

The loss of a step is the sum over its targets divided by their number in ALL its batches on ALL ranks. A mean of the batches'
means would weigh a target by how few others happen to share its batch, and so depend on batch size and number of devices.
What is predicted belongs to the subclasses.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from torch import Tensor

from platform_assets.core.training_metrics import PART_LOSS
from platform_assets.training.data import ALL, Batch, SteppedData
from platform_assets.training.errors import LossNotFinite, TrainingError
from platform_assets.training.randomness import seed_torch


@dataclass(frozen=True)
class Optimisation:
    """How the weights move: AdamW, warm-up, then half a cosine down to 0 at `total_steps` optimizer steps."""

    learning_rate: float
    total_steps: int
    weight_decay: float = 0.0
    warmup_share: float = 0.03
    betas: tuple[float, float] = (0.9, 0.999)

    def factor(self, step: int) -> float:
        """The share of the learning rate that the step number `step` (from 0) uses; never 0 but at the end."""
        warmup = math.ceil(self.total_steps * self.warmup_share)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = (step - warmup) / max(1, self.total_steps - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


class TargetLossModule(L.LightningModule):
    """Trains the parameters of `network` that require a gradient; only these are kept in checkpoints."""

    remedy = (
        "lower the learning rate or the gradient clipping's limit, and look for broken weights in the base model; in half "
        "precision also try full precision"
    )
    """What to do about a loss that is not a number."""

    def __init__(self, network: torch.nn.Module, optimisation: Optimisation, seed: int) -> None:
        super().__init__()
        self.network, self.optimisation, self.seed = network, optimisation, seed
        # Checkpoints hold no frozen weights; on_load_checkpoint asserts that nothing else is missing.
        self.strict_loading = False
        self.step_loss = math.nan
        """Mean loss over all targets of the newest optimizer step, of all ranks."""
        self.step_targets = 0
        self.compared_batches = ALL
        """How many validation batches were measured before the first step, the first so many."""
        self._sum = torch.zeros(())
        self._validation = self._part = self._nothing()

    @abstractmethod
    def target_loss(self, content: Any) -> Tensor:
        """Sum of the loss over the targets of a batch's content, a scalar in fp32."""

    def learned_and_shown(self, content: Any) -> tuple[Tensor, Tensor]:
        """What is made small, and what a training is judged by: the same sum, unless something is learned beside it."""
        loss = self.target_loss(content)
        return loss, loss.detach()

    @property
    def measures(self) -> int:
        """How many numbers `measure` adds up."""
        return 2

    def measure(self, batch: Batch) -> Tensor:
        """[measures] in float64, to be summed over validation batches and ranks: loss and targets come first."""
        loss = self.target_loss(batch.content) * batch.weight
        return torch.tensor([loss.item(), batch.targets], dtype=torch.float64)

    def metrics_of(self, sums: Tensor) -> dict[str, float]:
        """What else than the loss the sums of `measure` say, by name."""
        return {}

    def kept_names(self) -> set[str]:
        """Names of the state that training changes: trained parameters and saved buffers."""
        changing = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        buffers = {name for name, _ in self.named_buffers()}
        return {name for name in self.state_dict() if name in changing or name in buffers}

    def configure_optimizers(self) -> Any:
        """AdamW over what is trained, its rate set before every step."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        if not trained:
            raise TrainingError("no parameter of the model is trained; check the names of the LoRA targets")
        plan = self.optimisation
        optimizer = torch.optim.AdamW(
            trained, lr=plan.learning_rate, betas=plan.betas, weight_decay=plan.weight_decay, foreach=True
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, plan.factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        """A loaded base comes in evaluation mode, where dropout does nothing."""
        self.train()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Dropout is drawn from the place in the training, so that a resumed run draws the same."""
        seed_torch("batch", self.seed, self.current_epoch, batch_idx, self.global_rank)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """This batch's part of the loss of its optimizer step, so that the ranks' mean gradient is the step's gradient."""
        data = self._data
        if batch_idx % data.accumulate == 0:
            # A step may have no target at all, as rows without a known product have none: it then moves nothing.
            self.step_targets = max(1, int(self._total(torch.tensor(batch.step_targets, dtype=torch.float64))))
            self._sum = torch.zeros((), device=self.device)
        learned, shown = self.learned_and_shown(batch.content)
        self._sum += shown * batch.weight
        if (batch_idx + 1) % data.accumulate == 0 or batch_idx + 1 == data.batches_per_epoch:
            self._close_step()
        # Lightning divides by the number of accumulated batches, and the ranks' gradients are averaged.
        share = self.trainer.world_size * self.trainer.accumulate_grad_batches / self.step_targets
        return learned * batch.weight * share

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Raises LossNotFinite for a gradient that would break the weights, on all ranks: they share it by now."""
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        # In 16-mixed such a gradient is how the scaler finds its scale: it skips the step and halves it. Not for ever.
        if scaler is not None and scaler.get_scale() > 1:
            return
        gradients = [each.grad for group in optimizer.param_groups for each in group["params"] if each.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients))
        if not math.isfinite(norm):
            raise LossNotFinite(f"the gradient's norm is {norm} {self._place()}: {self.remedy}")

    def on_validation_epoch_start(self) -> None:
        """Nothing is counted yet."""
        self._validation = self._part = self._nothing()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Adds a batch's loss and targets."""
        measured = self._measured(batch)
        self._validation = self._validation + measured
        if batch_idx < self.compared_batches:
            self._part = self._part + measured

    def validation_loss(self) -> float | None:
        """Mean loss over all validation targets of all ranks, None without such rows; to be asked on every rank.

        Raises LossNotFinite: compared with NaN, no epoch is the best.
        """
        return self._loss_of(self._total(self._validation))

    def validation_metrics(self) -> dict[str, float]:
        """What else validation measured over all ranks, by name; to be asked on every rank.

        Where only a part was measured before the first step, its loss is there too: two sets of rows cannot be compared.
        """
        part = None if self.compared_batches == ALL else self._loss_of(self._total(self._part))
        return {**self.metrics_of(self._total(self._validation)), **({} if part is None else {PART_LOSS: part})}

    def measured_of(self, batches: Iterable[Batch]) -> tuple[float | None, dict[str, float]]:
        """The loss and what else is measured of these batches, of all ranks; the weights stay as they are."""
        self.eval()
        sums = self._nothing()
        with torch.no_grad(), self.trainer.precision_plugin.val_step_context():
            for batch in batches:
                sums = sums + self._measured(self.trainer.strategy.batch_to_device(batch))
        self.train()
        total = self._total(sums)
        return self._loss_of(total), self.metrics_of(total)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave the frozen weights out: they are the base model's, which is an input.

        Raises LossNotFinite for weights that are not numbers: half precision's overflow in an optimizer's own sums, too.
        """
        kept = self.kept_names()
        checkpoint["state_dict"] = {name: value for name, value in checkpoint["state_dict"].items() if name in kept}
        broken = [name for name, value in checkpoint["state_dict"].items() if not torch.isfinite(value).all()]
        if broken:
            raise LossNotFinite(f"the weights of {broken[0]} are not finite {self._place('after')}: {self.remedy}")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises TrainingError unless the checkpoint lacks exactly the frozen weights."""
        found, kept = set(checkpoint["state_dict"]), self.kept_names()
        if found != kept:
            different = sorted(found ^ kept)
            raise TrainingError(
                f"the checkpoint's weights are not those that this model trains ({len(different)} differ, among them "
                f"{different[0]}): use another work folder, or empty this one"
            )

    @property
    def _data(self) -> SteppedData:
        return self.trainer.datamodule  # type: ignore[attr-defined]

    def _nothing(self) -> Tensor:
        return torch.zeros(self.measures, dtype=torch.float64, device=self.device)

    def _measured(self, batch: Batch) -> Tensor:
        # On the device whatever `measure` gives: sums of two devices cannot be added.
        return self.measure(batch).to(self.device)

    def _loss_of(self, sums: Tensor) -> float | None:
        total, targets = sums[:2].tolist()
        if not math.isfinite(total):
            raise LossNotFinite(
                f"the validation loss is {total / max(1, targets)} {self._place('after')}: {self.remedy}"
            )
        return total / targets if targets else None

    def _close_step(self) -> None:
        # Before the backward pass of the last batch: weights that saw a NaN are never stepped, on any rank.
        self.step_loss = float(self._total(self._sum.double())) / self.step_targets
        if not math.isfinite(self.step_loss):
            raise LossNotFinite(f"the loss is {self.step_loss} {self._place()}: {self.remedy}")

    def _place(self, where: str = "at") -> str:
        """Before the first step, or at or after which one."""
        if where == "after" and not self.global_step:
            return "before the first step"
        number = self.global_step + (where == "at")
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        return f"{where} step {number} of epoch {self.current_epoch + 1}, at a learning rate of {rate:.2g}"

    def _total(self, value: Tensor) -> Tensor:
        """Summed over ranks."""
        if self.trainer.world_size == 1:
            return value
        return self.trainer.strategy.reduce(value.to(self.device), reduce_op="sum")  # type: ignore[return-value]
