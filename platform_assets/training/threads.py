"""How many threads a training computes with.

More threads than free cores cost far more than they give: threads that wait for one that was put aside spin. Measured: a
step of 0.11 s on one thread took up to 1.0 s on two while the other core was busy.
"""

from __future__ import annotations

import os

BUSY_LOOK_SECONDS = 0.5


def wait_without_spinning() -> None:
    """To be called before torch is imported: its threads then sleep while they wait."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def free_cores() -> int:
    """Cores that this process may use and that nobody else uses now; at least 1."""
    import psutil

    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    used = psutil.cpu_percent(BUSY_LOOK_SECONDS, percpu=True)
    idle = sum(1 - used[core] / 100 for core in allowed if core < len(used))
    return max(1, min(round(idle), _quota()))


def share_of_free_cores(processes: int) -> int:
    """Threads of each of so many processes on this machine; at least 1."""
    return max(1, free_cores() // processes)


def use_threads(count: int) -> None:
    """Compute with `count` threads."""
    import torch

    torch.set_num_threads(count)


def _quota() -> int:
    """The limit of a container, in whole cores."""
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            limit, period = file.read().split()
    except (OSError, ValueError):
        return os.cpu_count() or 1
    return os.cpu_count() or 1 if limit == "max" else max(1, int(limit) // int(period))
