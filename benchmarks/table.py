"""The one table that the benchmarks print: what a line holds and how it looks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

COLUMNS = ("name", "ours", "peer", "ratio", "peak MB, ours / peer", "target")
MINIMUM_WIDTH = 200


@dataclass(frozen=True)
class Line:
    """One comparison, as text. `met` is None where no target was set."""

    name: str
    ours: str
    peer: str = ""
    ratio: str = ""
    memory: str = ""
    target: str = ""
    met: bool | None = None

    def cells(self) -> tuple[str, ...]:
        """In the order of COLUMNS; a miss is spelled out, since colours are lost in a file."""
        verdict = {None: "", True: ": met", False: ": MISSED"}[self.met]
        return (self.name, self.ours, self.peer, self.ratio, self.memory, self.target + verdict)


def show(lines: Sequence[Line], seconds: float, load: float) -> None:
    """Print the table. Piped into a file it keeps its width, where a terminal's would fold the cells.

    `load` (1 minute) tells whether the machine was busy with something else: contestants with two threads lose more by it.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=MINIMUM_WIDTH)
    table = Table(title="medians of alternating runs; a ratio is the median of the turns' ratios")
    for position, name in enumerate(COLUMNS):
        table.add_column(name, justify="left" if position in (0, 2, 5) else "right")
    for line in lines:
        table.add_row(*line.cells())
    console.print(table)
    console.print(f"{seconds:.0f} s in all, at a load of {load} with {os.cpu_count()} cores before it began")
