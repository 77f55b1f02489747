"""One thread that prepares what comes next while the current is used.

One, because with two the order would need keeping; a thread and not a process, because what is prepared is large and what
prepares it (numpy) lets other threads run. The thread ends with the iterator: exhausted, closed, dropped, or failed.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class _End(NamedTuple):
    """Nothing more comes; why, if by an error."""

    error: BaseException | None


def ahead(source: Iterator[T]) -> Iterator[T]:
    """The same, of which the next one is being prepared; an error of the source is raised where its element would have come.

    At most two elements exist at a time: the one handed out and the one after it.
    """
    ready: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
    wanted, stopped = threading.Semaphore(1), threading.Event()
    thread = threading.Thread(target=_fill, args=(source, ready, wanted, stopped), name="prefetch", daemon=True)
    thread.start()
    try:
        while not isinstance(element := ready.get(), _End):
            wanted.release()
            yield element
            del element
        if element.error is not None:
            raise element.error
    finally:
        stopped.set()
        wanted.release()


def _fill(
    source: Iterator[T], ready: queue.SimpleQueue[T | _End], wanted: threading.Semaphore, stopped: threading.Event
) -> None:
    try:
        while True:
            wanted.acquire()
            if stopped.is_set():
                return
            ready.put(next(source))
    except StopIteration:
        ready.put(_End(None))
    except BaseException as error:
        ready.put(_End(error))
