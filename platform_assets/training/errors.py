"""What can go wrong with a training that a person can mend; every message names the remedy."""

from __future__ import annotations

OTHER = "other inputs, options, precision, code or libraries"
"""In what two trainings differ that have two fingerprints."""


class TrainingError(RuntimeError):
    """A training that cannot start or go on; the message says what to change."""


class OtherFingerprint(TrainingError):
    """The work folder holds checkpoints of another training."""


class LossNotFinite(TrainingError):
    """A loss, a gradient or a weight became NaN or infinite: what would follow is noise."""


class OutOfMemory(TrainingError):
    """The device has too little memory for these options."""


class WorkFolderBusy(TrainingError):
    """Another program trains in the work folder; once it has ended, the same command succeeds."""
