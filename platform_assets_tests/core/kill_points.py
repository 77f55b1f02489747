"""Publications in a process of their own, killed with SIGKILL at a chosen point.

On a folder the process kills itself before, after, or in the middle of its n-th call to the file system, so also inside an
operation of the store. On S3 a proxy kills it when its n-th request arrives or has been carried out, so also within a
multipart upload. What must hold afterwards is the tests' business.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import shutil
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# Imported here so that the fork server has them: a child then starts in milliseconds.
import duckdb  # noqa: F401
import obstore  # noqa: F401
import pyarrow.parquet  # noqa: F401

from platform_assets.core import folder_store
from platform_assets.core.lake import Address, Lake, Publication
from platform_assets_tests.core.lake_cases import lineage
from platform_assets_tests.fault_proxy import FaultProxy

DATASET = Address("planner/dataset", "2026-01-02", "datasets/planner/2026-01-09")
MODEL = Address("planner/model", "2026-01-02")
CHILD_SECONDS = 120
STAGES = ("before", "during", "after")


@dataclass(frozen=True)
class Publishing:
    """One publication. `files` maps names to local paths; a table has top copies, a model has none."""

    address: Address
    files: dict[str, Path]
    version: str

    def run(self, lake: Lake) -> Publication:
        sides: dict[str, Path | bytes] = {"profile.json": f"profile {self.version}".encode()}
        why = lineage(code_version=self.version)
        if self.address == MODEL:
            return lake.publish_files(self.address, self.files, why, side_files=sides)
        copies = (*self.files, *sides)
        return lake.publish_table(self.address, self.files, why, side_files=sides, top_copies=copies)


class KillingProxy(FaultProxy):
    """Kills the process `victim` at its n-th request: before it is forwarded, or after, without answering it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.arm(0, "before")

    def arm(self, number: int, stage: str) -> None:
        """From now on requests are counted from 1; number 0 kills nobody."""
        self.number, self.stage, self.count, self.victim = number, stage, 0, 0

    def _forward(self, client: socket.socket, content: bytes, answer: bool) -> None:
        with self._lock:
            self.count += 1
            is_last = self.count == self.number
        if not is_last or self.stage == "after":
            super()._forward(client, content, answer and not is_last)
        if is_last:
            os.kill(self.victim, signal.SIGKILL)


def publish_in_a_child(
    publishing: Publishing, lake: Lake, environment: dict[str, str], point: tuple[int, str], proxy: KillingProxy | None
) -> int | None:
    """Runs it until it dies or ends. Returns None for a kill, else how many calls or requests it made."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    mine, theirs = context.Pipe(duplex=False)
    gate_out, gate_in = context.Pipe(duplex=False)
    arguments = (publishing, lake.root, environment, point if proxy is None else (0, "before"), theirs, gate_out)
    process = context.Process(target=_child, args=arguments)
    process.start()
    if proxy is not None:
        proxy.arm(*point)
        proxy.victim = process.pid or 0
    gate_in.send(True)
    theirs.close()
    process.join(CHILD_SECONDS)
    assert process.exitcode is not None, "the child waits for something"
    if process.exitcode == -signal.SIGKILL:
        return None
    assert process.exitcode == 0
    calls = mine.recv()
    return proxy.count if proxy is not None else calls


def _child(
    publishing: Publishing, url: str, environment: dict[str, str], point: tuple[int, str], answer: Connection,
    gate: Connection,
) -> None:  # fmt: skip
    gate.recv()
    os.environ.update(environment)
    calls = _Calls(*point)
    calls.count_in(folder_store)
    publishing.run(Lake(url, single_writer=True))
    answer.send(calls.count)


class _Calls:
    def __init__(self, number: int, stage: str) -> None:
        self.number, self.stage, self.count = number, stage, 0

    def count_in(self, module: Any) -> None:
        """Only this process, which is about to die, is changed."""
        for owner, name in (
            (Path, "mkdir"), (Path, "replace"), (Path, "unlink"), (Path, "write_bytes"),
            (os, "link"), (shutil, "copyfile"), (fcntl, "flock"), (module, "_sync"),
        ):  # fmt: skip
            setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            stage = self.stage if self.count == self.number else ""
            if stage == "during":
                _half(call, arguments)
            if stage in ("before", "during"):
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*arguments, **options)
            if stage == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counted


def _half(call: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """What a write leaves when it is cut in the middle; of other calls there is no middle."""
    if call.__name__ == "write_bytes":
        path, content = arguments
    elif call.__name__ == "copyfile":
        source, path = arguments
        content = Path(source).read_bytes()
    else:
        return
    with open(path, "wb") as file:
        file.write(content[: len(content) // 2])
