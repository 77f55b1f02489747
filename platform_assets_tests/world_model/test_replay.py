"""The replay program: scores of every basket, a summary that agrees with them, pictures, and errors of one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure

from platform_assets.core.statistics import paired_difference
from platform_assets.world_model import judgement, replay, replay_figures, replay_summary, replay_tables
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.tensor_cache import TensorCache
from platform_assets.world_model.tensor_layout import LABELS
from platform_assets_tests.world_model.evaluation_world import items_of, plant, write_model
from platform_assets_tests.world_model.small_cache import write_small_cache


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_cache(tmp_path_factory.mktemp("cache") / "cache", seed=6, customers=90)


@pytest.fixture(scope="module")
def model(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "model"
    write_model(folder, TensorCache(cache))
    return folder


@pytest.fixture(scope="module")
def output(cache: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replay") / "output"
    assert replay.main(words(cache, model, folder)) == 0
    return folder


@pytest.fixture(scope="module")
def columns(output: Path) -> dict[str, Any]:
    return pq.read_table(output / replay.SCORES).to_pydict()


@pytest.fixture(scope="module")
def summary(output: Path) -> dict[str, Any]:
    return json.loads((output / replay.SUMMARY).read_text(encoding="utf-8"))


def words(cache: Path, model: Path, output: Path, *more: str) -> list[str]:
    where = ["--tensor_cache", str(cache), "--model", str(model), "--output", str(output)]
    return [*where, "--device", "cpu", "--threads", "1", *more]


def test_every_basket_has_a_row_that_says_whose_when_and_how(cache: Path, columns: dict[str, Any]) -> None:
    arrays = TensorCache(cache).split("test")
    row_of = {int(basket): row for row, basket in enumerate(arrays.basket_id)}
    samples = pq.read_table(TensorCache(cache).samples_path("test")).to_pylist()
    known = {sample["basket_id"]: sample for sample in samples}
    assert columns["basket_id"] == sorted(
        columns["basket_id"], key=lambda each: (known[each]["date"], known[each]["hour"], each)
    )
    for place, basket in enumerate(columns["basket_id"]):
        sample, row = known[basket], row_of[basket]
        customer = sample["customer_id"]
        assert columns["cluster"][place] == (customer or f"basket {basket}")
        assert columns["date"][place] == sample["date"].isoformat()
        assert columns["hour"][place] == sample["hour"]
        assert columns["week"][place] == TensorCache(cache).weeks[sample["week"] - 1]
        kind = "anonymous" if customer is None else "cold" if arrays.trips[row] < 5 else "warm"
        assert columns["slice_customer"][place] == kind
    assert set(columns["slice_customer"]) == {"anonymous", "cold", "warm"}


def test_metrics_of_a_side_follow_from_its_rank(columns: dict[str, Any]) -> None:
    for side in ("candidate", "baseline"):
        for place, rank in enumerate(columns[f"{side}_rank"]):
            hits = {cut: columns[f"{side}_hit_at_{cut}"][place] for cut in (1, 5, 10)}
            assert hits == {cut: int(rank <= cut) for cut in (1, 5, 10)}
            assert columns[f"{side}_reciprocal_rank"][place] == 1 / rank
            precision, recall = (columns[f"{side}_next_basket_{name}_at_10"][place] for name in ("precision", "recall"))
            assert columns[f"{side}_next_basket_hit_at_10"][place] == int(precision > 0) == int(recall > 0)
    assert {name for name in columns if name.endswith("_rank") and "reciprocal" not in name} == {
        f"{name}_rank" for name in
        ("candidate", "baseline", "network", "popularity", "own_frequency", "item_neighbours", "untuned_mixture", "ease")
    }  # fmt: skip


def test_the_summary_is_what_the_rows_say(columns: dict[str, Any], summary: dict[str, Any], output: Path) -> None:
    hits = np.array(columns["candidate_hit_at_10"]) - np.array(columns["baseline_hit_at_10"])
    bounds = paired_difference(hits, np.array(columns["cluster"]))
    assert summary["hit_at_10_above_mixture"]["estimate"] == pytest.approx(bounds.estimate)
    assert summary["hit_at_10_above_mixture"]["interval"] == pytest.approx(list(bounds.interval))
    assert summary["rows"] == len(hits)
    assert summary["rows"] + sum(summary["excluded"].values()) == summary["baskets"]
    assert summary["customers"] == len(set(columns["cluster"]))
    assert len(summary["rankers"]) == 8
    for name, means in judgement.means(output / replay.SCORES).items():
        assert summary["rankers"][name]["hit_at_10"] == pytest.approx(means["hit_at_10"])
    for task, found in summary["auxiliary"].items():
        values = [each for each in columns[f"candidate_{task}_correct"] if each is not None]
        assert found["rows"] == len(values) < len(hits)
        assert found["model"] == pytest.approx(np.mean(values))
        assert {"look_up", "majority"} <= found.keys()


def slow_group(columns: dict[str, Any], places: list[int]) -> dict[str, float]:
    """All that a table says of a group, row by row: from ranks where a ranker has no column of its own."""
    found: dict[str, float] = {"baskets": len(places)}
    rankers = [name[: -len("_rank")] for name in columns if name.endswith("_rank") and "reciprocal" not in name]
    for ranker in rankers:
        ranks = [columns[f"{ranker}_rank"][place] for place in places]
        for cut in (1, 5, 10):
            found[f"{ranker}_hit_at_{cut}"] = sum(rank <= cut for rank in ranks) / len(ranks)
        found[f"{ranker}_reciprocal_rank"] = sum(1 / rank for rank in ranks) / len(ranks)
    for name, values in columns.items():
        if name.endswith(("_next_basket_precision_at_10", "_next_basket_recall_at_10", "_next_basket_hit_at_10")):
            found[name] = sum(values[place] for place in places) / len(places)
    for task in LABELS:
        labelled = [place for place in places if columns[f"majority_{task}_correct"][place] is not None]
        found[f"{task}_baskets"] = len(labelled)
        for side in ("candidate", "baseline", "majority"):
            if labelled:
                right = sum(columns[f"{side}_{task}_correct"][place] for place in labelled)
                found[f"{side}_{task}_correct"] = right / len(labelled)
    return found


@pytest.mark.parametrize(("by", "column"), list(replay_summary.TABLES.items()))
def test_a_group_has_every_number_that_the_whole_has_and_each_is_what_its_rows_say(
    by: str, column: str, columns: dict[str, Any], summary: dict[str, Any]
) -> None:
    groups: dict[str, list[int]] = {}
    for place, key in enumerate(columns[column]):
        groups.setdefault(str(key), []).append(place)
    table = summary["tables"][by]
    assert table.keys() == groups.keys()
    for key, places in groups.items():
        assert table[key] == pytest.approx(slow_group(columns, places), abs=1e-12), key
    said = set().union(*table.values())
    assert {f"{ranker}_next_basket_recall_at_10" for ranker in summary["next_basket"]} <= said
    assert {f"candidate_{task}_correct" for task in summary["auxiliary"]} <= said
    assert len(said) == 1 + 8 * 4 + len(summary["next_basket"]) * 3 + len(LABELS) * 4


def test_a_group_without_any_label_of_a_task_has_no_share_of_it(output: Path) -> None:
    scores = pq.read_table(output / replay.SCORES)
    hours, task = np.array(scores["hour"].to_pylist()), next(iter(LABELS))
    for name in [name for name in scores.column_names if name.endswith(f"_{task}_correct")]:
        kept = [None if hour == hours[0] else each for hour, each in zip(hours, scores[name].to_pylist(), strict=True)]
        scores = scores.set_column(scores.column_names.index(name), name, [pa.array(kept, pa.int8())])
    group = replay_summary.summary_of(scores)["tables"]["hour"][str(hours[0])]
    assert group[f"{task}_baskets"] == 0
    assert not {name for name in group if name.endswith(f"_{task}_correct")}
    assert {f"candidate_{other}_correct" for other in LABELS if other != task} <= group.keys()


def test_the_picture_by_week_has_hits_of_the_model_at_1_5_and_10(
    summary: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(replay_figures, "to_png", lambda figure: drawn.append(figure) or b"")
    replay_figures.pictures(summary)
    (weekly,) = (each for figure in drawn for each in figure.axes if each.get_xlabel() == "first day of the week")
    named = {str(line.get_label()): list(line.get_ydata()) for line in weekly.get_lines()}
    table = summary["tables"]["week"].values()
    for label, metric in (("model", "hit_at_10"), ("model, hit@5", "hit_at_5"), ("model, hit@1", "hit_at_1")):
        assert named[label] == [each[f"candidate_{metric}"] for each in table]
    assert weekly.get_title() == f"hit@10, hit@5, hit@1 by week, {summary['rows']} baskets"


@pytest.mark.parametrize("by", list(replay_summary.TABLES))
def test_groups_add_up_to_the_whole(by: str, summary: dict[str, Any]) -> None:
    groups = summary["tables"][by].values()
    assert sum(group["baskets"] for group in groups) == summary["rows"]
    for ranker, whole in summary["rankers"].items():
        hits = sum(group["baskets"] * group[f"{ranker}_hit_at_10"] for group in groups)
        assert hits / summary["rows"] == pytest.approx(whole["hit_at_10"])
    assert summary["rankers"]["candidate"]["hit_at_10"] > 0


def test_the_same_inputs_give_the_same_bytes(cache: Path, model: Path, output: Path, tmp_path: Path) -> None:
    assert replay.main(words(cache, model, tmp_path, "--batch_size", "16")) == 0
    for name in (replay.SCORES, replay.SUMMARY):
        assert (tmp_path / name).read_bytes() == (output / name).read_bytes()


def test_the_pictures_are_there(output: Path) -> None:
    pictures = {path.name: path.read_bytes() for path in output.glob("*.png")}
    assert set(pictures) == {"hit_at_10_by_week.png", "hit_at_10_by_hour.png", "rankers.png", "auxiliary.png"}
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())


def test_the_scores_can_be_judged(output: Path) -> None:
    verdict = judgement.judge(output / replay.SCORES, "v1", "v0", judgement.thresholds(50, 10), {})
    assert verdict.outcome in ("pass", "fail", "inconclusive")
    assert verdict.label.startswith("thresholds: demo")


def test_a_sample_has_as_many_rows(cache: Path, model: Path, tmp_path: Path) -> None:
    assert replay.main(words(cache, model, tmp_path, "--sample", "25")) == 0
    summary = json.loads((tmp_path / replay.SUMMARY).read_text(encoding="utf-8"))
    assert summary["rows"] + summary["excluded"]["only unknown products"] == 25
    assert summary["excluded"]["not in the sample"] > 0


def test_a_basket_that_its_customer_bought_before_item_for_item_is_marked(tmp_path: Path) -> None:
    folder = write_small_cache(tmp_path / "cache", seed=6)
    train, test = (WorldModelDataset(folder, name).arrays for name in ("train", "test"))
    copy, original = next(
        (row, other)
        for row in range(len(test))
        for other in range(len(train))
        if test.lengths[row] == train.lengths[other] >= 4 and train.customer[other]
    )
    items, customers = np.array(test.items), np.array(test.customer)
    items[test.offsets[copy] : test.offsets[copy + 1]] = items_of(train, original)[::-1]
    customers[copy] = train.customer[original]
    plant(test, "items", items, folder)
    plant(test, "customer", customers, folder)
    cache = TensorCache(folder)
    marked = replay_tables.repeated(cache, cache.split("test"))
    before = {
        (int(train.customer[row]), tuple(sorted(items_of(train, row))))
        for row in range(len(train))
        if train.customer[row]
    }
    expected = [
        len(items_of(cache.split("test"), row)) >= 4
        and (int(customers[row]), tuple(sorted(items_of(cache.split("test"), row)))) in before
        for row in range(len(test))
    ]
    assert marked.tolist() == expected
    assert marked[copy]
    assert not marked.all()


def test_weeks_that_repeat_earlier_baskets_are_named_and_judged_apart(output: Path) -> None:
    scores = pq.read_table(output / replay.SCORES)
    weeks = np.array(scores["week"].to_pylist())
    first = weeks[0]
    copied = replay_summary.summary_of(
        scores.set_column(scores.column_names.index("repeated"), "repeated", [(weeks == first).tolist()])
    )
    assert copied["copied_weeks"] == [first]
    hits = (scores["candidate_hit_at_10"].to_numpy() - scores["baseline_hit_at_10"].to_numpy())[weeks != first]
    assert copied["hit_at_10_above_mixture_in_other_weeks"]["estimate"] == pytest.approx(hits.mean())
    assert "repeat customers' earlier baskets: 1" in replay.table(copied)
    everywhere = replay_summary.summary_of(
        scores.set_column(scores.column_names.index("repeated"), "repeated", [[True] * len(weeks)])
    )
    assert everywhere["hit_at_10_above_mixture_in_other_weeks"] == {}
    assert "in the others: no baskets" in replay.table(everywhere)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--sample", "-1"], "0 or more"),
        (["--batch_size", "0"], "1 or more"),
        (["--device", "cuda:77"], "cannot be used here"),
        (["--model", "nowhere"], "nowhere has no network.json"),
        (["--tensor_cache", "nowhere"], "is no tensor cache"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(
    wrong: list[str], message: str, cache: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay.main(words(cache, model, tmp_path / "output", *wrong)) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "output").exists()


def test_a_model_of_another_cache_is_refused(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_small_cache(tmp_path / "cache", seed=99)
    assert replay.main(words(other, model, tmp_path / "output")) == 1
    assert "was trained on a tensor cache with fingerprint" in capsys.readouterr().err
