"""What is read of metrics.json, and when a training counts as one that learned something."""

from __future__ import annotations

from pathlib import Path

from platform_assets.core.training_metrics import METRICS, judge_loss, numbers, read_metrics

BASE, NONE = "the untuned base", "no row is in the validation split"


def test_only_numbers_are_numbers(tmp_path: Path) -> None:
    (tmp_path / METRICS).write_text('{"rows": 3, "val_loss": 0.5, "early": true, "none": null, "steps": [1]}')
    assert numbers(read_metrics(tmp_path)) == {"rows": 3, "val_loss": 0.5}


def test_a_lower_loss_than_without_training_passes_and_an_equal_one_does_not() -> None:
    for tuned, passed in ((0.9, True), (1.0, False), (1.1, False)):
        outcome = judge_loss({"val_loss": tuned, "val_loss_untuned": 1.0}, BASE, NONE)
        assert (outcome.name, outcome.passed, outcome.warning) == ("loss_fell", passed, False)
        assert outcome.reason == f"validation loss {tuned:.4f}, of the untuned base 1.0000"


def test_of_a_part_the_loss_of_the_same_part_counts() -> None:
    metrics = {"val_loss": 0.5, "val_loss_of_part": 0.9, "val_loss_untuned_of_part": 1.0}
    outcome = judge_loss(metrics, BASE, NONE, "the first 8 rows")
    assert outcome.passed
    assert outcome.reason == "validation loss of the first 8 rows 0.9000, of the untuned base 1.0000"
    assert not judge_loss({**metrics, "val_loss_of_part": 1.1}, BASE, NONE, "the first 8 rows").passed
    assert judge_loss(metrics, BASE, NONE).reason.startswith(f"{NONE}: nothing tells")


def test_what_could_not_be_measured_warns_with_the_reason() -> None:
    for metrics in ({"val_loss": 1.0}, {"val_loss_untuned": 1.0}, {"val_loss": None, "val_loss_untuned": None}):
        outcome = judge_loss(metrics, BASE, NONE)
        assert (outcome.passed, outcome.warning) == (False, True)
        assert outcome.reason == f"{NONE}: nothing tells whether the model learned"
