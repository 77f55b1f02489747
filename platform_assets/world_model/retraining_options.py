"""The options that the retraining sensor trains with: PLATFORM_RETAIL_TRAINING_OPTIONS, held to the program's own.

Held to them when definitions load, so that a wrong one stops the start and not every training weeks later. What does not belong
here: what the options mean (`world_model.training_options`), and the options of a run that a person starts.
"""

from __future__ import annotations

from collections.abc import Mapping

from platform_assets.core.settings import SettingError, Settings
from platform_assets.core.step import words
from platform_assets.training import options
from platform_assets.world_model.training_options import PROGRAM, TrainingOptions

# Decided by the week and the step; where things lie is no matter of how to train.
_DECIDED = frozenset({"tensor_cache", "output", "work"})


def checked(settings: Settings) -> Mapping[str, str]:
    """The options as the asset takes them. Raises SettingError naming the one that cannot be."""
    given = settings.retail_training_options
    if decided := sorted(_DECIDED & given.keys()):
        raise SettingError(f"PLATFORM_RETAIL_TRAINING_OPTIONS: {', '.join(decided)}: decided by the week; leave it out")
    try:
        options.read_words(TrainingOptions, words(given), PROGRAM)
    except ValueError as error:
        raise SettingError(
            f"PLATFORM_RETAIL_TRAINING_OPTIONS: {error}; python -m {PROGRAM} --help lists the options"
        ) from None
    return given
