"""The options of the planner's training: their names, meanings and defaults, and the fingerprint of what they make.

An asset and a command line read them from here, so that importing this module is light. The asset takes the fingerprint before
the program runs, to find what a killed run left; the program takes it again. Both take a base's advice where an option is left
open (`advised`), and resolve `auto` (`resolved`), on the machine of the step that starts the program; where another machine
trains, accelerator must be named, or precision where there is no dropout.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from platform_assets.core import document, transform
from platform_assets.core.step import words
from platform_assets.planner import base_model
from platform_assets.planner.prompt import PromptFormat
from platform_assets.training import devices
from platform_assets.training.libraries import releases

PROGRAM = "platform_assets.planner.training"
_HERE = Path(__file__).parent
# Every module of the program that decides a number or a file of the model; a test compares them with what is imported.
_SOURCES = (
    "training.py", "training_inputs.py", "training_options.py", "training_rows.py", "training_output.py",
    "fine_tuning.py", "language_model.py", "model_documents.py", "prompt.py", "plans.py", "plan_documents.py", "catalogue.py",
)  # fmt: skip
_ROOM = (
    "batches.py", "checkpoints.py", "data.py", "devices.py", "history.py", "module.py", "randomness.py", "trainer.py",
    "work_folder.py",
)  # fmt: skip
LIBRARIES = ("torch", "lightning", "transformers", "peft", "tokenizers", "numpy")
"""Those whose next version may compute other numbers, or draw others."""
SOURCES = (
    *(_HERE / name for name in _SOURCES),
    *(_HERE.parent / "training" / name for name in _ROOM),
    Path(document.__file__),
)
CODE_VERSION = transform.code_version(*SOURCES)
# What decides where and how a training runs, but not what comes of it; inputs enter the fingerprint by their digests.
_NOT_OF_THE_RESULT = frozenset(
    {
        "dataset",
        "model_base",
        "tiny_steps",
        "revision",
        "recipes",
        "output",
        "work",
        "threads",
        "checkpoint_every",
    }
)
# Each process draws dropout for its own rows, and a CPU draws other numbers than CUDA; without it, the rounding differs alone.
_OF_DROPOUT = frozenset({"devices", "accelerator"})


@dataclass(frozen=True)
class TrainingOptions:
    """Every option of the program; `batch_size` and `accumulate` mean the same on any number of devices.

    With dropout, another number or kind of devices is another training all the same.
    """

    dataset: tuple[Path, ...]
    """A weekly dataset: a folder datasets/planner/<date>, or its training.parquet. Repeat it for more weeks."""
    model_base: str
    """A base folder that planner.base_model wrote, or planner/base_model/<week> of a lake; or tiny, a local model folder or a hub id, which are then built first."""
    recipes: Path
    """recipes.parquet, every version of every recipe; or the folder planner/recipes/<week> of a lake."""
    output: Path
    """Where the model folder is written; it is there whole or not at all."""
    epochs: int = 3
    """Times that every row is seen, if training does not stop early."""
    lr: float = 1e-4
    """Highest learning rate, reached after the warm-up."""
    batch_size: int = 16
    """Rows of a forward pass, over all devices together."""
    accumulate: int = 1
    """Batches of an optimizer step."""
    seed: int = 0
    """Of the adapter's first weights, the order of rows and recipes, and dropout."""
    lora_r: int = 16
    """Rank of the adapter."""
    lora_alpha: int = 32
    """Scale of the adapter: its output counts alpha / r times."""
    lora_dropout: float = 0.05
    """Share of the adapter's inputs that is dropped while training."""
    lora_targets: tuple[str, ...] = ("all-linear",)
    """Layers that get an adapter, by name: all-linear, or for example q_proj,v_proj."""
    weight_decay: float = 0.0
    """AdamW's, on the adapter."""
    warmup: float = 0.03
    """Share of the steps over which the learning rate rises."""
    gradient_clip: float = 1.0
    """Largest norm of a step's gradient; 0 does not clip."""
    early_stopping: int = 0
    """Epochs without a lower validation loss after which training stops; 0 never stops. The best epoch is kept either way."""
    max_length: int = 2048
    """Tokens of prompt and answer; longer rows are left out and counted."""
    max_candidates: int = PromptFormat.max_candidates
    """How many admissible recipes a prompt shows."""
    recent_plans: int = PromptFormat.recent_plans
    """How many recent plans a prompt shows."""
    pantry_items: int = PromptFormat.pantry_items
    """How many pantry items a prompt shows."""
    describe_candidates: bool = False
    """Show cuisine, protein and minutes beside each candidate: for a base model that did not learn the catalogue."""
    precision: str = "auto"
    """auto (bf16-mixed on CUDA, 32-true elsewhere) or a name that Lightning knows."""
    quantization: str = ""
    """nf4 loads the frozen base in 4 bits (QLoRA; CUDA and bitsandbytes)."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, about a third more time."""
    accelerator: str = "auto"
    """auto (CUDA where there is one), cpu or cuda."""
    devices: int = 1
    """Devices of this machine, a process each; torchrun's own numbers count before this one."""
    threads: int = 0
    """Threads of a process on the CPU; 0 takes the cores that are free when the training first starts."""
    checkpoint_every: int = 100
    """Optimizer steps between two checkpoints; there is one after every epoch as well."""
    work: Path | None = None
    """Folder of the checkpoints, of one training; when left out, beside the output, with .work behind its name."""
    tiny_steps: int = 3000
    """Steps of the tiny base model, where model_base is tiny."""
    revision: str = ""
    """Of a hub id: a commit; the newest when left out."""

    def __post_init__(self) -> None:
        """Raises ValueError naming the option that cannot be."""
        devices.require_known(self)
        for name in ("epochs", "batch_size", "accumulate", "lora_r", "max_length", "devices", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be 1 or more, not {getattr(self, name)}")
        for name in ("gradient_clip", "weight_decay", "early_stopping"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"--{name} must be 0 or more, not {getattr(self, name)}")
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"--warmup must be from 0 to 1, not {self.warmup}")
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"--lora_dropout must be 0 or more and below 1, not {self.lora_dropout}")
        if not 0 < self.lr < 1:
            raise ValueError(f"--lr must be between 0 and 1, not {self.lr}")

    @property
    def form(self) -> PromptFormat:
        """How prompts are rendered."""
        return PromptFormat(
            max_candidates=self.max_candidates, recent_plans=self.recent_plans, pantry_items=self.pantry_items,
            describe_candidates=self.describe_candidates,
        )  # fmt: skip


def advised(given: Sequence[str], model_base: str) -> list[str]:
    """A command line with what suits the base of this name put before it: an option that is given counts more."""
    return [*words(base_model.advised_options(model_base)), *given]


def fingerprint(options: TrainingOptions, dataset_digests: Sequence[str], base_digest: str, recipes_digest: str) -> str:
    """Everything that decides what the model is: equal fingerprints are equal models, but for the last bits of sums.

    With dropout the kind of device and the number of processes are part of it. Raises ValueError for options that are not
    `resolved`.
    """
    devices.require_resolved(options)
    apart = _NOT_OF_THE_RESULT if options.lora_dropout else _NOT_OF_THE_RESULT | _OF_DROPOUT
    chosen: dict[str, Any] = {name: value for name, value in asdict(options).items() if name not in apart}
    libraries = (*LIBRARIES, "bitsandbytes") if options.quantization else LIBRARIES
    content = {
        "options": chosen, "datasets": list(dataset_digests), "base": base_digest, "recipes": recipes_digest,
        "prompt": options.form.digest, "code_version": CODE_VERSION,
        "libraries": releases(libraries),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
