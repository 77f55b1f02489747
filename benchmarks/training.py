"""Training: our program's fit against `transformers.Trainer` with the same peft adapter, base, rows and batch size.

Both run on one thread in fp32, take the same number of optimizer steps with the same schedule and clipping, and must end at
about the same loss: neither order nor dropout is shared. Ours orders a plan's recipes anew every epoch, counts a step's
targets, keeps checkpoints and the history; the peer gets its rows as tokens, computes batch by batch and writes nothing. It
runs twice, in random order as it does by itself and with its own grouping by length. They take turns, and every turn's ratio is
shown, in wall seconds and in seconds of the processor: only the latter mean something while others use the machine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import decoding
from benchmarks.measure import BenchmarkError, Sample, in_own_process, median_peak, median_rate, take_turns
from benchmarks.table import Line

RUNS, EPOCHS, BATCH_SIZE, RATE, TARGET = 3, 3, 16, 1e-3, 1.0
SHOWN = (0, 160)  # candidates in the prompt: none, as the tiny model has it, and all of most households'
TOLERANCE = 0.05  # of the last epoch's loss
OURS = "ours"
PEERS = {"random": "random order", "group_by_length": "grouped by length"}


def run(folder: Path) -> list[Line]:
    """Two lines a prompt length, one for each order of the peer's."""
    decoding.write_requests(folder)
    decoding.write_model(folder)
    return [line for shown in SHOWN for line in _compare(folder, shown)]


def _compare(folder: Path, shown: int) -> list[Line]:
    told: dict[str, list[dict[str, float]]] = {name: [] for name in (OURS, *PEERS)}
    mine, *others = take_turns(*(partial(_turn, folder, shown, name, told[name]) for name in told), runs=RUNS)
    losses = {name: turns[-1]["loss"] for name, turns in told.items()}
    if max(losses.values()) > min(losses.values()) * (1 + TOLERANCE):
        raise BenchmarkError(f"training: the last epoch's losses are too far apart for the same training: {losses}")
    lines = []
    for peer, name in zip(others, PEERS, strict=True):
        wall = [our.rate / their.rate for our, their in zip(mine, peer, strict=True)]
        processor = [
            their["cpu_seconds"] / our["cpu_seconds"] for our, their in zip(told[OURS], told[name], strict=True)
        ]
        lines.append(
            Line(
                f"training: LoRA, tiny, {shown} candidates shown, batch {BATCH_SIZE}",
                f"{median_rate(mine):,.0f} tokens/s",
                f"{median_rate(peer):,.0f} tokens/s (transformers.Trainer, {PEERS[name]})",
                f"{_shown(wall)}; processor {_shown(processor)}",
                f"{median_peak(mine):,.0f} / {median_peak(peer):,.0f}",
                f">= {TARGET:g}x",
                min(median(wall), median(processor)) >= TARGET,
            )
        )
    return lines


def _turn(folder: Path, shown: int, name: str, told: list[dict[str, float]]) -> Sample:
    given = {"folder": str(folder), "shown": shown}
    sample = in_own_process(ours, **given) if name == OURS else in_own_process(trainer, order=name, **given)
    told.append(json.loads((folder / f"{name}.json").read_text()))
    return sample


def _shown(ratios: Sequence[float]) -> str:
    """The median, and what it is the median of."""
    return f"{median(ratios):.2f}x ({' '.join(f'{ratio:.2f}' for ratio in ratios)})"


def _tell(folder: str, name: str, loss: float, began: float) -> None:
    """What a turn says beside its wall seconds: the last epoch's loss, and processor seconds since `began`."""
    document = {"loss": loss, "cpu_seconds": time.process_time() - began}
    (Path(folder) / f"{name}.json").write_text(json.dumps(document))


def ours(folder: str, shown: int) -> Callable[[], int]:
    """The fit of `planner.training`, without what comes before and after it."""
    from tempfile import mkdtemp

    from platform_assets.planner.fine_tuning import EncodedRows, FineTuning
    from platform_assets.training.data import TrainingData
    from platform_assets.training.module import Optimisation
    from platform_assets.training.trainer import Run, fit
    from platform_assets.training.work_folder import WorkFolder

    network, tokenizer, examples = _prepare(Path(folder), shown)
    rows, nothing = (EncodedRows(each, tokenizer, 4096, 0) for each in (examples, []))
    data = TrainingData(rows, nothing, batch_size=BATCH_SIZE, accumulate=1, seed=0, fingerprint="")
    module = FineTuning(network, Optimisation(RATE, data.steps_per_epoch * EPOCHS), 0)
    work = WorkFolder(Path(mkdtemp(dir=folder)))

    def train() -> int:
        began = time.process_time()
        fitted = fit(module, data, Run(EPOCHS, accelerator="cpu"), work, lambda text: None)
        _tell(folder, OURS, fitted.history.epochs[-1].train_loss, began)
        return sum(rows.lengths) * EPOCHS

    return train


def trainer(folder: str, shown: int, order: str) -> Callable[[], int]:
    """The peer."""
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    from platform_assets.planner.language_model import completion_ids, prompt_ids
    from platform_assets.planner.prompt import completion

    network, tokenizer, examples = _prepare(Path(folder), shown)
    pairs = [
        (prompt_ids(tokenizer, each.prompt), completion_ids(tokenizer, completion(each.recipe_ids)))
        for each in examples
    ]
    rows: Any = [{"input_ids": start + end, "labels": [-100] * len(start) + end} for start, end in pairs]
    steps = -(-len(rows) // BATCH_SIZE)
    settings = TrainingArguments(
        output_dir=str(Path(folder) / "trainer"), per_device_train_batch_size=BATCH_SIZE, num_train_epochs=EPOCHS,
        learning_rate=RATE, lr_scheduler_type="cosine", warmup_steps=0.03, max_grad_norm=1.0, use_cpu=True, seed=0,
        train_sampling_strategy=order, save_strategy="no", logging_strategy="steps", logging_steps=steps,
        report_to="none", disable_tqdm=True, remove_unused_columns=False,
    )  # fmt: skip
    program = Trainer(model=network, args=settings, train_dataset=rows, data_collator=DataCollatorForSeq2Seq(tokenizer))

    def train() -> int:
        began = time.process_time()
        program.train()
        losses = [entry["loss"] for entry in program.state.log_history if "loss" in entry]
        _tell(folder, order, losses[-1], began)
        return sum(len(row["input_ids"]) for row in rows) * EPOCHS

    return train


def _prepare(folder: Path, shown: int) -> tuple[Any, Any, list[Any]]:
    """The base with its adapter, the tokenizer, and the examples, on one thread."""
    import torch

    from platform_assets.planner.fine_tuning import Adapter, add_adapter
    from platform_assets.planner.language_model import load_base

    torch.set_num_threads(1)
    model, tokenizer = load_base(folder / decoding.MODEL)
    network = add_adapter(model, Adapter(16, 32, 0.05, ("all-linear",)), 0, False)
    return network, tokenizer, _examples(folder, shown)


def _examples(folder: Path, shown: int) -> list[Any]:
    """What each simulated household accepted last, asked with what it had accepted before."""
    from dataclasses import replace

    from platform_assets.planner import prompt
    from platform_assets.planner.plan_documents import read_context, read_recipe
    from platform_assets.planner.plans import admissible
    from platform_assets.planner.training_rows import Example

    document = json.loads((folder / decoding.REQUESTS).read_text())
    recipes = [read_recipe(row) for row in document["recipes"]]
    found, form = [], prompt.PromptFormat(max_candidates=shown)
    for number, row in enumerate(document["inputs"]):
        context = read_context(row)
        newest, *before = context.recent_plans
        known = replace(context, recent_plans=tuple(before))
        text = prompt.render(known, prompt.shown_candidates(known, admissible(known, recipes), form), form)
        recipe_ids = tuple(dict.fromkeys(newest.recipe_ids))
        found.append(Example(str(number), str(number), "train", text, recipe_ids, datetime.fromtimestamp(number, UTC)))
    return found
