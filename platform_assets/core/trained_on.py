"""What a training reads, as the tracking server is told of it: by the step of an orchestrator and by the program alike.

What does not belong here: fetching it (`core.weekly_training`, and each pipeline's own), the registered version's other tags
(`core.registered_model`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from platform_assets.core.tracking import DatasetReference, Run


@dataclass(frozen=True)
class TrainedOn:
    """Datasets, oldest first; the newest one, by the last part of its name, is what the training is called by."""

    datasets: Sequence[DatasetReference]
    others: Mapping[str, str] = field(default_factory=dict)
    """Tags by which further inputs are found."""

    def named(self) -> dict[str, str]:
        """The newest dataset."""
        newest = self.datasets[-1]
        return {"dataset_version": newest.name.rpartition("/")[2], "dataset_digest": newest.digest}

    def tags(self) -> dict[str, str]:
        """Of the run and of the version, beside those of `RegisteredModel.tags`."""
        return {**self.named(), **self.others}

    def log(self, run: Run) -> None:
        """Record all datasets as inputs, the newest by name."""
        for each in self.datasets:
            run.log_dataset(each, "training")
        run.log_parameters(self.named())
