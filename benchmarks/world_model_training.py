"""The world model's training steps on the device that is there: baskets/s, waiting for data, model FLOPs utilisation.

Batch sizes 64 and 1,024, the transformer compiled and not, each in a process of its own, on a cache of random baskets with the
lengths of real ones: speed does not depend on what is in them. A step is what the trainer does, forward, backward, clipping and
AdamW, in bf16 on CUDA; the first steps warm up and are not counted, compilation among them. Waiting is the time until the loop
has its next batch on the device. FLOPs are counted by torch on single steps; utilisation is stated where the device's dense
bf16 peak is known. The loader alone is measured on the same cache beside it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.loader import indices, tensors
from benchmarks.loader_cache import write_cache
from benchmarks.measure import in_own_process
from benchmarks.table import Line

if TYPE_CHECKING:
    import torch

    from platform_assets.training.data import Batch
    from platform_assets.world_model.basket_batches import BasketBatches
    from platform_assets.world_model.fitting import HiddenProducts

BASKETS, CUSTOMERS = 200_000, 20_000
BATCH_SIZES = (64, 1_024)
# Enough of either kind of device to take some seconds.
WARM_UP_STEPS, MEASURED_BASKETS, COUNTED_STEPS = 3, {"cpu": 4_096, "cuda": 131_072}, 2
HISTORY = 1_000
LOADER_TIMES = 20
# Dense bf16 operations a second, by the makers' data sheets.
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L4": 121e12, "L40S": 362e12}


@dataclass(frozen=True)
class Steps:
    """What was measured of one setting."""

    device: str
    baskets_per_second: float
    waiting: float
    flops_per_basket: float
    loss: float

    @property
    def utilisation(self) -> str:
        """Of the device's peak, where it is known."""
        peak = next((peak for name, peak in PEAKS.items() if name in self.device.split()), None)
        return f", MFU {self.flops_per_basket * self.baskets_per_second / peak:.2%}" if peak else ""


def run(folder: Path) -> list[Line]:
    """A line a setting, and two for the loader alone against the quickest of batch 64."""
    cache = write_cache(folder / "cache", BASKETS, CUSTOMERS)
    found = {
        (size, compiled): _measured(folder, cache, size, compiled) for size in BATCH_SIZES for compiled in (False, True)
    }
    lines = [_line(size, compiled, steps) for (size, compiled), steps in found.items()]
    quickest = max(steps.baskets_per_second for (size, _), steps in found.items() if size == BATCH_SIZES[0])
    return [
        *lines,
        *(_loader(cache, quickest, name, work) for name, work in (("indices", indices), ("tensors", tensors))),
    ]


def _measured(folder: Path, cache: Path, batch_size: int, compiled: bool) -> Steps:
    in_own_process(steps, folder=str(folder), cache=str(cache), batch_size=batch_size, compiled=compiled)
    return Steps(**json.loads((folder / "steps.json").read_text()))


def _line(batch_size: int, compiled: bool, found: Steps) -> Line:
    return Line(
        f"world_model_training: {found.device}, batch {batch_size:,}{', compiled' if compiled else ''}",
        f"{found.baskets_per_second:,.0f} baskets/s, {found.waiting:.1%} waiting for data{found.utilisation}",
        f"{found.flops_per_basket / 1e6:,.0f} MFLOP a basket",
    )


def _loader(cache: Path, training: float, name: str, work: Callable[..., Callable[[], int]]) -> Line:
    sample = in_own_process(work, cache=str(cache))
    times = sample.rate / training
    target, met = (f">= {LOADER_TIMES}x", times >= LOADER_TIMES) if work is indices else ("", None)
    return Line(
        f"world_model_training: the loader alone, {name}", f"{sample.rate:,.0f} baskets/s",
        f"{training:,.0f} (training, batch {BATCH_SIZES[0]})", f"{times:,.0f}x", "", target, met,
    )  # fmt: skip


def steps(folder: str, cache: str, batch_size: int, compiled: bool) -> Callable[[], int]:
    """Train for some steps; writes what a `Steps` says beside the cache."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    data, module = _trained(Path(cache), batch_size, compiled)
    module.to(device).train()

    def work() -> int:
        batches = _on_device(data, device)
        step = _step(module, device)
        flops = _flops(step, islice(batches, COUNTED_STEPS))
        for batch in islice(batches, WARM_UP_STEPS):
            step(batch)
        baskets, seconds, waited, loss = _timed(step, batches, MEASURED_BASKETS[device.type] // batch_size)
        found = Steps(name, baskets / seconds, waited / seconds, flops, loss)
        (Path(folder) / "steps.json").write_text(json.dumps(found.__dict__))
        return baskets

    return work


def _trained(cache: Path, batch_size: int, compiled: bool) -> tuple[BasketBatches, HiddenProducts]:
    from platform_assets.training.module import Optimisation
    from platform_assets.world_model import tensor_layout as layout
    from platform_assets.world_model.basket_batches import BasketBatches
    from platform_assets.world_model.dataset import WorldModelDataset
    from platform_assets.world_model.fitting import HiddenProducts, fresh_network
    from platform_assets.world_model.network import NetworkOptions

    train, validation = (WorldModelDataset(cache, split) for split in ("train", "validation"))
    weights = dict.fromkeys(layout.LABELS, 0.1)
    data = BasketBatches(
        train, validation, batch_size=batch_size, seed=0, fingerprint="", weights=weights, purchase_history=HISTORY
    )
    network = fresh_network(NetworkOptions(auxiliary=tuple(weights)), train.cache, 0, compiled)
    return data, HiddenProducts(network, train.encoder_on, Optimisation(1e-4, 10_000, 0.01, warmup_share=0.03), 0)


def _on_device(data: BasketBatches, device: torch.device) -> Any:
    from platform_assets.training.data import Position

    for batch in data.batches_from(Position(0, 0)):
        shown = batch.content
        moved = shown._replace(
            indices=shown.indices.to(device, True), scales=shown.scales.to(device, non_blocking=True)
        )
        yield batch._replace(content=moved)


def _step(module: HiddenProducts, device: torch.device) -> Callable[[Batch], torch.Tensor]:
    import torch

    optimiser = torch.optim.AdamW(module.network.parameters(), 1e-4, weight_decay=0.01)
    half = partial(torch.autocast, device.type, torch.bfloat16, enabled=device.type == "cuda")

    def step(batch: Batch) -> torch.Tensor:
        with half():
            loss, _ = module.learned_and_shown(batch.content)
        (loss / max(1, batch.targets)).backward()
        torch.nn.utils.clip_grad_norm_(module.network.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return loss.detach()

    return step


def _flops(step: Callable[[Batch], torch.Tensor], batches: Any) -> float:
    """Of a basket, forward and backward, by torch's counter; an operation is a multiplication or an addition."""
    from torch.utils.flop_counter import FlopCounterMode

    baskets = 0
    with FlopCounterMode(display=False) as counter:
        for batch in batches:
            step(batch)
            baskets += batch.size
    return counter.get_total_flops() / baskets


def _timed(step: Callable[[Batch], torch.Tensor], batches: Any, count: int) -> tuple[int, float, float, float]:
    """Baskets, seconds, of these those waited for batches, and the last loss."""
    import torch

    baskets, waited, loss = 0, 0.0, torch.zeros(())
    began = time.perf_counter()
    for _ in range(count):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        loss = step(batch)
        baskets += batch.size
    last = loss.item()  # also waits for the device
    return baskets, time.perf_counter() - began, waited, last
