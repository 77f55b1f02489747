"""Command line: one workload in an interpreter of its own, so that its peak memory is nobody else's.

    python -m benchmarks.child benchmarks.extraction:stream '{"url": "postgresql://..."}'

Writes one line of JSON: seconds, items, peak_mb.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from importlib import import_module
from pathlib import Path


def main() -> None:
    """Prepare and run the workload that the arguments name."""
    module, function = sys.argv[1].split(":")
    work = getattr(import_module(module), function)(**json.loads(sys.argv[2]))
    began = time.perf_counter()
    items = work()
    seconds = time.perf_counter() - began
    sys.stdout.write(json.dumps({"seconds": seconds, "items": items, "peak_mb": peak_mb()}) + "\n")


def peak_mb() -> float:
    """Peak resident memory of this process in MB.

    Linux hands ru_maxrss on from the process that forked this one, so it would report the parent's peak where that is
    higher; VmHWM starts anew with the program.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    # Without /proc this is macOS, which counts bytes and hands nothing on.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
