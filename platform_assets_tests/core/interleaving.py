"""Actors that share a store and take turns: one store operation at a time, in an order that the test chooses.

Every operation is atomic by itself, so the orders of operations are all that concurrency can do to a protocol.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from typing import Any

from platform_assets.core.lake import Lake
from platform_assets_tests.lake_stores import open_again

TURN_SECONDS = 120


class Actor:
    """Runs `work` on a lake of its own, in a thread that stands still before each store operation until it is let go on."""

    def __init__(self, lake: Lake, work: Callable[[Lake], Any]) -> None:
        self.result: Any = None
        self.error: Exception | None = None
        self.is_done = False
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        mine = open_again(lake)
        mine.store.check()
        mine.store = _Stepped(mine.store, self._wait)
        threading.Thread(target=self._run, args=[mine, work], daemon=True).start()
        assert self._stands.acquire(timeout=TURN_SECONDS)

    def steps(self, number: int) -> int:
        """Let it do so many operations; returns how many it had left to do."""
        for done in range(number):
            if self.is_done:
                return done
            self._go.release()
            assert self._stands.acquire(timeout=TURN_SECONDS), "an actor waits for something"
        return number

    def finish(self) -> Any:
        """Let it run to its end; returns what its work returned."""
        while not self.is_done:
            self.steps(1)
        if self.error is not None:
            raise self.error
        return self.result

    def _run(self, lake: Lake, work: Callable[[Lake], Any]) -> None:
        try:
            self.result = work(lake)
        except Exception as error:
            self.error = error
        self.is_done = True
        self._stands.release()

    def _wait(self) -> None:
        self._stands.release()
        self._go.acquire()


def in_random_order(actors: Sequence[Actor], seed: int) -> None:
    """Let all run to their ends, switching between them at random."""
    chance, left = random.Random(seed), list(actors)
    while left:
        actor = chance.choice(left)
        actor.steps(chance.randint(1, 4))
        left = [actor for actor in left if not actor.is_done]


class _Stepped:
    def __init__(self, store: Any, wait: Callable[[], None]) -> None:
        self._store, self._wait = store, wait

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._store, name)

        def stepped(*arguments: Any) -> Any:
            self._wait()
            return list(operation(*arguments)) if name == "list" else operation(*arguments)

        return operation if name == "check" else stepped
