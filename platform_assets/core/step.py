"""What a step of an orchestrator hands to the work that it does: services, a scratch folder, a way to run programs.

So that the order in which a model is trained, published and registered is the pipeline's own, and is read and tested without
the orchestrator. `orchestration.steps` makes one from a run of Dagster. What does not belong here: doing anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from platform_assets.core.lake import Lake
    from platform_assets.core.tracking import Run, Tracking
    from platform_assets.core.warehouse import Warehouse


class ProgramFailed(RuntimeError):
    """A program ended without a result; the message is its own, and the same command would fail again."""


class ProgramUnavailable(RuntimeError):
    """A program ended because a service that it needs did not answer: a later try may succeed."""


@dataclass(frozen=True)
class Step:
    """One partition's work within one run."""

    partition: str
    run_id: str
    """Of the orchestrator's run, for the lineage."""
    folder: Path
    """For working files; gone afterwards."""
    lake: Lake
    tracking: Tracking
    warehouse: Warehouse
    run_program: Callable[[str, Sequence[str]], dict[str, Any]]
    """(module, words of its command line) -> the result it told; raises ProgramFailed or ProgramUnavailable."""
    tracking_run: Callable[[str, Mapping[str, str]], AbstractContextManager[Run]]
    """(experiment, tags) -> a run in the tracking server for this partition, ended with the block."""
    finished_run: Callable[[str, Mapping[str, str]], Run | None]
    """(experiment, tags) -> the run that was finished for this partition with these tags before."""
    say: Callable[[str], None]
    """A line for the run's log."""


def words(options: Mapping[str, str | None]) -> list[str]:
    """A command line's options: None is left out, an empty text is a value, true and false are a switch and its opposite.

    Raises ValueError for a name that is none: with a value behind its own `=` it would pass as another option.
    """
    found: list[str] = []
    for name, value in options.items():
        if not name.isidentifier():
            raise ValueError(f"{name!r} is no name of an option")
        if value in ("true", "false"):
            found.append(f"--{name}" if value == "true" else f"--no-{name}")
        elif value is not None:
            found += [f"--{name}", value]
    return found
