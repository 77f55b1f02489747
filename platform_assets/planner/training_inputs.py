"""What a training's options point to, read and pinned by digests: weekly datasets, the base model, the catalogue.

What does not belong here: what a row says (`planner.training_rows`), how a base is made (`planner.base_model`), training.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from platform_assets.core.digest import digest_table
from platform_assets.core.folders import local_file, local_folder
from platform_assets.planner.catalogue import RECIPES, Catalogue
from platform_assets.planner.model_documents import BASE, BaseModel, read_base
from platform_assets.planner.training_options import TrainingOptions, fingerprint
from platform_assets.planner.training_rows import Dataset, read_dataset
from platform_assets.training.errors import TrainingError
from platform_assets.training.output import whole_folder
from platform_assets.training.work_folder import WorkFolder


@dataclass(frozen=True)
class Inputs:
    """What the options point to; the options are resolved ones, `recipes` the catalogue's file."""

    options: TrainingOptions
    datasets: tuple[Dataset, ...]
    recipes: Path
    catalogue: Catalogue
    base_folder: Path
    base: BaseModel
    work: WorkFolder
    fingerprint: str

    def parameters(self) -> dict[str, Any]:
        """What the tracking server is told: the documented names, and every option."""
        options = self.options
        apart = ("dataset", "output", "work", "lr")
        return {
            **{name: value for name, value in asdict(options).items() if name not in apart},
            "learning_rate": options.lr,
            "dataset_digests": ",".join(dataset.digest for dataset in self.datasets),
            "model_base": self.base.model_base,
            "base_digest": self.base.digest,
            "base_revision": self.base.revision,
            "fine_tuning_method": "qlora" if options.quantization else "lora",
        }


def base_name(model_base: str) -> str:
    """What a --model_base is the base of: itself, or what a base folder says that it was made from. Raises ModelError."""
    file = local_file(Path(model_base), BASE)
    return read_base(file.parent).model_base if _is_base(file) else model_base


def read_inputs(options: TrainingOptions, work: WorkFolder) -> Inputs:
    """Read what resolved options point to; a base that is no folder yet is made in the work folder.

    Raises TrainingRowsError, ModelError or TrainingError naming what is missing.
    """
    # Not in the order of the command line: the same weeks are the same training.
    datasets = tuple(sorted(map(read_dataset, options.dataset), key=lambda each: each.digest))
    recipes = local_file(options.recipes, RECIPES)
    catalogue = Catalogue.read(recipes)
    base_folder = _base_folder(options, recipes, catalogue, work.path)
    base = read_base(base_folder)
    digests = [dataset.digest for dataset in datasets]
    key = fingerprint(options, digests, base.identity, digest_table([recipes]).digest)
    return Inputs(options, datasets, recipes, catalogue, base_folder, base, work, key)


def _is_base(file: Path) -> bool:
    return file.name == BASE and file.is_file()


def _base_folder(options: TrainingOptions, recipes: Path, catalogue: Catalogue, work: Path) -> Path:
    """The base folder that was named, or one made for this training, once."""
    named = Path(options.model_base)
    if _is_base(local_file(named, BASE)):
        return local_folder(named, work / "base-of-the-lake")
    from platform_assets.planner import base_model

    wanted = base_model.Wanted(options.model_base, options.revision, tiny_steps=options.tiny_steps)
    key = base_model.fingerprint(wanted, catalogue)
    made = work / f"base-{key[:16]}"
    if not (made / BASE).is_file():
        if "TORCHELASTIC_RUN_ID" in os.environ:
            raise TrainingError(
                "several processes cannot build one base: run planner.base_model first, name its folder"
            )
        with whole_folder(made) as folder:
            base_model.build(wanted, recipes, folder)
    return made
