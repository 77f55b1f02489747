"""The folder that a training keeps its state in: of one training, and of one program at a time.

The first process of a training decides what it runs with and writes it down before it begins; the others wait for that and
read it, as does the program that goes on after a kill. All of them see one folder, on several machines as well. What does not
belong here: when a state is written (`training.checkpoints`).
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from platform_assets.training import devices
from platform_assets.training.errors import OTHER, OtherFingerprint, TrainingError, WorkFolderBusy
from platform_assets.training.output import require_replaceable, whole_file

if TYPE_CHECKING:
    from platform_assets.training.module import TargetLossModule

NEWEST = "newest.ckpt"
BEST = "best.ckpt"
RUN = "run.json"
LOCK = ".lock"
# A step that was killed takes its program with it, but not in the same instant: what it holds may be large.
HOLDER_SECONDS = 15.0
# The first process may be waiting for the folder, and reads as much as the others.
FIRST_SECONDS = 300.0
LOOK_SECONDS = 0.1


class Places(Protocol):
    """The options of a training that say where it writes."""

    @property
    def output(self) -> Path: ...
    @property
    def work(self) -> Path | None: ...


class WorkFolder:
    """The folder that a training keeps its state in; it belongs to one fingerprint."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, options: Places) -> WorkFolder:
        """The folder that was named, or else one beside the output."""
        return cls(options.work or options.output.with_name(f"{options.output.name}.work"))

    @contextmanager
    def held(self, seconds: float = HOLDER_SECONDS) -> Iterator[None]:
        """Keep other programs out of the folder; a holder that is killed, however, leaves it free.

        Raises WorkFolderBusy when another program does not leave it within so many seconds.
        """
        file, deadline = self._try_to_hold(), time.monotonic() + seconds
        while file is None:
            if time.monotonic() > deadline:
                raise WorkFolderBusy(
                    f"another training works in this folder: {self.path} ({self._holder()}); wait for its end, or name "
                    "another --work folder"
                )
            time.sleep(LOOK_SECONDS)
            file = self._try_to_hold()
        with file:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}")
            file.flush()
            yield

    def claim(self, fingerprint: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        """The facts of the run that goes on here: those it was started with, else `facts`, which are kept.

        Raises OtherFingerprint when another training's state is here.
        """
        known = self._facts(fingerprint)
        if known is not None:
            return known
        with whole_file(self.path / RUN) as file:
            file.write_text(json.dumps({"fingerprint": fingerprint, "facts": dict(facts)}), encoding="utf-8")
        return dict(facts)

    def claimed(self, fingerprint: str, seconds: float = FIRST_SECONDS) -> dict[str, Any]:
        """The facts that the training's first process claims the folder with, once it has.

        Raises OtherFingerprint, or TrainingError when nothing comes within so many seconds.
        """
        deadline = time.monotonic() + seconds
        while (known := self._facts(fingerprint)) is None:
            if time.monotonic() > deadline:
                raise TrainingError(
                    f"the first process of this training did not begin in {self.path} within {seconds:.0f} s: see what it "
                    "says, and give all processes, on whatever machine, the same --work folder"
                )
            time.sleep(LOOK_SECONDS)
        return known

    @property
    def newest(self) -> Path | None:
        """The state to go on from."""
        path = self.path / NEWEST
        return path if path.exists() else None

    def load_best(self, module: TargetLossModule) -> None:
        """Put the weights of the best epoch into a module; raises TrainingError when there are none."""
        import torch

        path = self.path / BEST
        if not path.exists():
            raise TrainingError(f"{path} is missing: empty {self.path} and train again")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        module.on_load_checkpoint(checkpoint)
        module.load_state_dict(checkpoint["state_dict"], strict=False)

    @classmethod
    @contextmanager
    def begun(cls, options: Places, mark: str) -> Iterator[WorkFolder]:
        """The folder of a training that may write its output, while no other program works in it; raises TrainingError.

        `mark` is a file that every earlier output has. Of several processes the first holds the folder for all.
        """
        require_replaceable(options.output, mark)
        work = cls.of(options)
        with nullcontext() if devices.is_follower() else work.held():
            yield work

    def _facts(self, fingerprint: str) -> dict[str, Any] | None:
        """Of the training that claimed the folder; None where it is nobody's."""
        try:
            known = json.loads((self.path / RUN).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        if known["fingerprint"] == fingerprint:
            return known["facts"]
        raise OtherFingerprint(
            f"{self.path} holds a training with fingerprint {known['fingerprint'][:12]}, this one has "
            f"{fingerprint[:12]}: {OTHER}. Name another --work folder, or empty this one"
        )

    def _try_to_hold(self) -> IO[str] | None:
        """The lock's file, locked until it is closed; None while another program has it."""
        self.path.mkdir(parents=True, exist_ok=True)
        file = (self.path / LOCK).open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have removed the folder with the file that was waited for.
            if os.path.samestat(os.fstat(file.fileno()), os.stat(file.name)):
                return file
        except (BlockingIOError, FileNotFoundError):
            pass
        except OSError as error:
            file.close()
            raise TrainingError(
                f"{self.path} cannot be locked ({error}): name a --work folder on a local disk"
            ) from error
        file.close()
        return None

    def _holder(self) -> str:
        return (self.path / LOCK).read_text(encoding="utf-8") or "it has just begun"
