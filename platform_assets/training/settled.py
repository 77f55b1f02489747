"""What the processes of one training agree on before it begins: who talks, and with how many threads all of them compute.

What does not belong here: the folder that they agree through (`training.work_folder`), the devices (`training.devices`).
"""

from __future__ import annotations

import os

from platform_assets.training import devices, threads
from platform_assets.training.work_folder import WorkFolder


def leave_the_talking_to_the_first() -> bool:
    """Whether this is another process than a distributed training's first; such a one does not answer Dagster."""
    if devices.is_follower():
        for name in ("DAGSTER_PIPES_CONTEXT", "DAGSTER_PIPES_MESSAGES"):
            os.environ.pop(name, None)
    return devices.is_follower()


def settle_threads(work: WorkFolder, fingerprint: str, wanted: int, processes: int) -> None:
    """Compute with `wanted` threads, of 0 with this process's share of the free cores, or as the training began.

    The last bits of a sum depend on the number of threads: a training goes on with as many as it began with, and what each
    process found free for itself would differ.
    """
    if devices.is_follower():
        facts = work.claimed(fingerprint)
    else:
        free = wanted or threads.share_of_free_cores(devices.processes_here(processes))
        facts = work.claim(fingerprint, {"threads": free})
    threads.use_threads(facts["threads"])
