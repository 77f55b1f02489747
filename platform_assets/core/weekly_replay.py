"""One evaluated week's replay, from pinned inputs to recorded scores: compared, run, published, recorded, whatever is replayed.

A pipeline's own WeeklyReplay says which program runs with which words, how its summary is judged, and what its scores are worth.
What does not belong here: replaying (a program of the pipeline), which versions are compared (`core.compared`), what is recorded
of it beside the lake (`core.replay_record`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from platform_assets.core import compared
from platform_assets.core.compared import Sides
from platform_assets.core.lake import Address, Lineage, Publication, Revision
from platform_assets.core.quality import Outcome, to_details
from platform_assets.core.replay_record import Means, Recorded, run_program
from platform_assets.core.step import Step, words
from platform_assets.core.tracking import DatasetReference, Run

# Of a summary: what grows with the days or features. It stays beside the scores, as a manifest is read whenever a revision is
# looked up.
TABLES = "tables"


class Pinned(Protocol):
    """The revisions that a replay reads, under whatever names the pipeline gives them."""

    @property
    def model(self) -> Revision:
        """The one that is judged."""
        ...

    @property
    def revisions(self) -> Sequence[Revision]:
        """All of them."""
        ...


Inputs = TypeVar("Inputs", bound=Pinned)


@dataclass(frozen=True)
class Scored:
    """What a replay's program left, and the checks of it."""

    scores: Path
    summary: Mapping[str, Any]
    outcomes: Sequence[Outcome]
    code_version: str
    """Of all that decides a score."""
    side_files: Mapping[str, Path] = field(default_factory=dict)
    """Name -> what is read beside the scores and is no part of their digest."""


@dataclass(frozen=True)
class Replayed:
    """What a week's replay became."""

    publication: Publication
    scored: Scored
    means: Means
    pictures: Mapping[str, bytes]
    """File name -> PNG."""
    run: Run


@dataclass
class WeeklyReplay(ABC, Generic[Inputs]):
    """`options` of the command line: how, not what, is replayed; an empty one is left open.

    The program takes `--output`, the folder for its scores and whatever it writes beside them, and tells its summary.
    """

    recorded: ClassVar[type[Recorded]]
    """Whose model it is, and where its numbers go."""
    program: ClassVar[str]
    """Its module."""
    scores: ClassVar[str]
    """The file that holds the rows."""
    beside: ClassVar[Sequence[str]] = ()
    """Files that are published beside the scores."""
    code_version: ClassVar[str]
    """Of all that decides a score."""

    step: Step
    inputs: Inputs
    address: Address
    options: Mapping[str, str]

    @property
    @abstractmethod
    def dataset(self) -> DatasetReference:
        """What is replayed. Rows that are left open are those that the summary counts."""

    @abstractmethod
    def where(self, sides: Sides) -> Mapping[str, str | None]:
        """The options that name what is replayed, which is brought to this machine for it."""

    @abstractmethod
    def judge(self, summary: Mapping[str, Any]) -> list[Outcome]:
        """The checks of what was replayed; kept in the manifest."""

    @abstractmethod
    def means(self, scores: Path) -> Means:
        """Of every side, and of what else is shown beside them."""

    @property
    def dataset_version(self) -> str:
        """By which the dataset is called on record."""
        return self.step.partition

    @property
    def output(self) -> Path:
        """Where the program writes."""
        return self.step.folder / "replay"

    def sides(self) -> Sides:
        """What is compared; raises NotRegistered when there is nothing to compare."""
        return compared.sides(self.step.warehouse, self.step.tracking, self.recorded.model, self.inputs.model)

    def command_line(self, sides: Sides) -> list[str]:
        """The program's."""
        given = {name: value or None for name, value in self.options.items()}
        return words({**self.where(sides), "output": str(self.output), **given})

    def summary_of(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """What of the program's summary the manifest keeps."""
        return {name: value for name, value in told.items() if name != TABLES}

    def pictures(self, recorded: Recorded) -> dict[str, bytes]:
        """What people are shown with the scores: what the program drew."""
        return {path.name: path.read_bytes() for path in self._drawn()}

    def produce(self) -> Replayed:
        """Run the program, publish, record; raises NotRegistered when there is nothing to compare."""
        before, sides = self.step.lake.current(self.address), self.sides()
        scored = self._scored(sides)
        publication = publish(self.step, self.address, self.inputs.revisions, sides, scored, before)
        means = self.means(scored.scores)
        recorded = self._recorded(sides, publication, scored.summary, means)
        run = recorded.keep(self.step)
        # Beside what every record shows.
        for picture in self._drawn():
            run.log_file(picture)
        return Replayed(publication, scored, means, self.pictures(recorded), run)

    def _scored(self, sides: Sides) -> Scored:
        version, digest = self.dataset_version, self.dataset.digest
        told = run_program(self.step, self.program, self.command_line(sides), sides, version, digest)
        summary = self.summary_of(told)
        side_files = {name: self.output / name for name in self.beside}
        return Scored(self.output / self.scores, summary, self.judge(summary), self.code_version, side_files)

    def _recorded(self, sides: Sides, made: Publication, summary: Mapping[str, Any], means: Means) -> Recorded:
        dataset = self.dataset
        if dataset.rows is None:
            dataset = replace(dataset, rows=summary["rows"])
        return self.recorded(sides, self.dataset_version, dataset, made.revision.digest, means, summary)

    def _drawn(self) -> list[Path]:
        return sorted(self.output.glob("*.png"))


def publish(
    step: Step, address: Address, inputs: Sequence[Revision], sides: Sides, scored: Scored, before: Revision | None
) -> Publication:
    """Publish the scores in place of `before`; the manifest says what `core.weekly_verdict` asks for."""
    details = {**sides.document(), "summary": scored.summary, "checks": to_details(scored.outcomes)}
    lineage = Lineage(
        inputs=tuple(revision.as_input() for revision in inputs), code_version=scored.code_version, run_id=step.run_id,
        details=details,
    )  # fmt: skip
    scores = {scored.scores.name: scored.scores}
    return step.lake.publish_table(address, scores, lineage, side_files=scored.side_files, expected=before)
