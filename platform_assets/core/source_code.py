"""Which source code is running, for the record of every model: the commit, and whether the checkout had other changes."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

UNKNOWN = "unknown"


@cache
def git_sha() -> str:
    """The commit of the checkout, `-dirty` behind it where files differ; GIT_SHA in an image without a checkout."""
    if told := os.environ.get("GIT_SHA"):
        return told
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude", "*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except OSError:
        return UNKNOWN
    return done.stdout.strip() if done.returncode == 0 else UNKNOWN
