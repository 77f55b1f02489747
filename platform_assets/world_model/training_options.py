"""The options of the world model's training: their names, meanings and defaults, and the fingerprint of what they make.

An asset and a command line read them from here, so that importing this module is light. The asset takes the fingerprint before
the program runs, to find what a killed run left; the program takes it again. Both resolve `auto` (`resolved`) on the machine
of the step that starts the program; where another machine trains, accelerator and precision must be named.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from platform_assets.core import document, transform
from platform_assets.training import devices
from platform_assets.training.libraries import releases
from platform_assets.world_model import tensor_layout as layout

PROGRAM = "platform_assets.world_model.training"
_HERE = Path(__file__).parent
# Every module of the program that decides a number or a file of the model; a test compares them with what is imported.
_SOURCES = (
    "training.py", "training_inputs.py", "training_options.py", "training_output.py", "fitting.py",
    "basket_batches.py", "network.py", "mixture.py", "basket_evidence.py", "auxiliary_baselines.py", "questions.py",
    "objective.py", "model_files.py", "batch.py", "encoder.py", "encoder_tables.py", "time_codes.py", "dataset.py",
    "validation_part.py", "loader.py", "groups.py", "together.py", "masking.py", "windows.py", "preparation.py",
    "prefetch.py", "tensor_cache.py", "tensor_layout.py", "stable_hash.py", "ragged.py", "rankings.py",
)  # fmt: skip
_ROOM = (
    "batches.py", "checkpoints.py", "data.py", "devices.py", "history.py", "module.py", "quick_validation.py", "randomness.py",
    "trainer.py", "work_folder.py",
)  # fmt: skip
LIBRARIES = ("torch", "lightning", "numpy")
"""Those whose next version may compute other numbers, or draw others."""
SOURCES = (
    *(_HERE / name for name in _SOURCES),
    *(_HERE.parent / "training" / name for name in _ROOM),
    Path(document.__file__),
)
CODE_VERSION = transform.code_version(*SOURCES)
# What decides where and how a training runs, but not what comes of it; the cache enters the fingerprint by its own.
NOT_OF_THE_RESULT = frozenset({"tensor_cache", "output", "work", "threads", "checkpoint_every"})
# Each process draws dropout for its own baskets, and a CPU draws other numbers than CUDA; without it, the rounding differs alone.
OF_DROPOUT = frozenset({"devices", "accelerator"})
_SENSES = ("with_trip", "without_price", "without_customer", "without_time", "without_segments", "without_mixture")
_AT_LEAST_ONE = (
    "batch_size", "epochs", "width", "heads", "layers", "max_length", "devices", "checkpoint_every", "quick_validation_batches",
)  # fmt: skip
_AT_LEAST_NOTHING = (
    "quick_validation_every", "full_validation_baskets", "patience", "purchase_history", "threads", "weight_decay", "gradient_clip",
)  # fmt: skip


@dataclass(frozen=True)
class TrainingOptions:
    """Every option of the program; `batch_size` means the same on any number of devices.

    With dropout, another number or kind of devices is another training all the same.
    """

    tensor_cache: Path = Path()
    """A tensor cache: its folder, or world_model/tensor_cache/<week> of a lake; or a folder that has one in tensor_cache or
    data/tensor_cache, as the working folder may."""
    output: Path = Path("world_model")
    """Where the model folder is written; it is there whole or not at all."""
    batch_size: int = 64
    """Baskets of an optimizer step, over all devices together."""
    epochs: int = 10
    """Times that every basket is seen, if training does not stop early."""
    learning_rate: float = 1e-4
    """Highest learning rate, reached after the warm-up."""
    weight_decay: float = 0.01
    """AdamW's."""
    warmup: float = 0.03
    """Share of the steps over which the learning rate rises."""
    gradient_clip: float = 1.0
    """Largest norm of a step's gradient; 0 does not clip."""
    seed: int = 0
    """Of the first weights, the order of baskets, what is hidden in them, and dropout."""
    width: int = 128
    """Numbers of a hidden state."""
    heads: int = 4
    """Attention heads."""
    layers: int = 2
    """Transformer layers."""
    dropout: float = 0.1
    """Share of the states that is dropped while training."""
    mask_probability: float = 0.15
    """Share of a basket's items that is hidden; at least one is."""
    max_length: int = 50
    """Items of a basket that are looked at."""
    purchase_history: int = 1000
    """How many of a customer's newest purchases before the basket are looked at."""
    auxiliary: tuple[str, ...] = ("mission_type=0.1", "mission_focus=0.1", "price_sensitivity=0.05", "basket_size=0.05")
    """Tasks that are learned beside, each with its weight in the loss; empty: none. With with_trip there are none."""
    with_trip: bool = False
    """Give the network what kind of trip it is (T6), which follows from the whole basket: for generation with a given kind alone."""
    without_price: bool = False
    """Ablation: withhold prices."""
    without_customer: bool = False
    """Ablation: withhold who comes, what they bought before, how often and when."""
    without_time: bool = False
    """Ablation: withhold week, weekday, hour, holidays, season, trend and recency."""
    without_segments: bool = False
    """Ablation: withhold the customer's segments, of which nobody knows since when they hold."""
    without_mixture: bool = False
    """Ablation: the network alone, without own frequency, popularity and co-purchase in its logits."""
    precision: str = "auto"
    """auto (bf16-mixed on CUDA, 32-true elsewhere) or a name that Lightning knows."""
    compile: bool = False
    """Compile the transformer (torch.compile; on a CPU it needs a C++ compiler)."""
    quick_validation_every: int = 10_000
    """Optimizer steps between two looks at a fixed part of the validation baskets; 0: none. They decide nothing."""
    quick_validation_batches: int = 100
    """Batches of that part; before the first step it is looked at, too, for the trained network to be compared with."""
    full_validation_baskets: int = 500_000
    """Validation baskets that are looked at after every epoch, drawn by a hash of their ids, always the same; 0: all."""
    patience: int = 3
    """Epochs without a lower validation loss after which training stops; 0 never stops. The best epoch is kept either way."""
    accelerator: str = "auto"
    """auto (CUDA where there is one), cpu or cuda."""
    devices: int = 1
    """Devices of this machine, a process each; torchrun's own numbers count before this one."""
    threads: int = 0
    """Threads of a process on the CPU; 0 takes the cores that are free when the training first starts."""
    checkpoint_every: int = 1000
    """Optimizer steps between two checkpoints; there is one after every epoch as well."""
    work: Path | None = None
    """Folder of the checkpoints, of one training; when left out, beside the output, with .work behind its name."""

    def __post_init__(self) -> None:
        """Raises ValueError naming the option that cannot be."""
        devices.require_known(self)
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be 1 or more, not {getattr(self, name)}")
        for name in _AT_LEAST_NOTHING:
            if not getattr(self, name) >= 0:
                raise ValueError(f"--{name} must be 0 or more, not {getattr(self, name)}")
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"--warmup must be from 0 to 1, not {self.warmup}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"--dropout must be 0 or more and below 1, not {self.dropout}")
        for name in ("learning_rate", "mask_probability"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"--{name} must be between 0 and 1, not {getattr(self, name)}")
        if self.width % self.heads:
            raise ValueError(f"--width must be a multiple of --heads, and {self.width} is none of {self.heads}")
        _weights(self.auxiliary)

    @property
    def auxiliary_weights(self) -> dict[str, float]:
        """Task -> its weight, in the layout's order; none where T6 is given, which holds their labels."""
        chosen = {} if self.with_trip else _weights(self.auxiliary)
        return {task: chosen[task] for task in layout.LABELS if task in chosen}

    @property
    def network(self) -> dict[str, Any]:
        """The arguments of `network.NetworkOptions`."""
        size = {name: getattr(self, name) for name in ("width", "heads", "layers", "dropout")}
        return {**size, "auxiliary": tuple(self.auxiliary_weights), **{name: getattr(self, name) for name in _SENSES}}


def fingerprint(options: TrainingOptions, cache_fingerprint: str) -> str:
    """Everything that decides what the model is: equal fingerprints are equal models, but for the last bits of sums.

    With dropout the kind of device and the number of processes are part of it. Raises ValueError for options that are not
    `resolved`.
    """
    devices.require_resolved(options)
    apart = NOT_OF_THE_RESULT if options.dropout else NOT_OF_THE_RESULT | OF_DROPOUT
    chosen: dict[str, Any] = {name: value for name, value in asdict(options).items() if name not in apart}
    content = {
        "options": {**chosen, "auxiliary": options.auxiliary_weights}, "cache": cache_fingerprint,
        "code_version": CODE_VERSION, "libraries": releases(LIBRARIES),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _weights(words: tuple[str, ...]) -> dict[str, float]:
    """Task -> weight of words like mission_type=0.1; raises ValueError."""
    found: dict[str, float] = {}
    for word in words:
        task, _, weight = word.partition("=")
        if task not in layout.LABELS:
            raise ValueError(f"--auxiliary has no task {task}: they are {', '.join(layout.LABELS)}")
        try:
            found[task] = float(weight)
        except ValueError:
            raise ValueError(f"--auxiliary must say each task's weight, as in {task}=0.1, not {word}") from None
        if not 0 < found[task] < 100:
            raise ValueError(
                f"--auxiliary {task} must have a weight above 0, not {weight}: leave out what is not learned"
            )
    return found
