"""The retailer's part of the demo: it reads its own simulated files, whole ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from platform_assets.commands import demo_retail
from platform_assets.core.settings import SettingError, Settings


def settings(home: Path) -> Settings:
    return Settings.from_environment({"PLATFORM_HOME": str(home)})


def test_a_retailer_of_somebodys_own_is_not_trained_on_as_a_demo(tmp_path: Path) -> None:
    demo_retail.refuse_other_source(settings(tmp_path))
    with pytest.raises(SettingError, match="unset it"):
        demo_retail.refuse_other_source(replace(settings(tmp_path), retail_source="s3://retailer/raw"))


def test_only_a_whole_simulation_becomes_the_retailers_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_retail, "ROWS_A_WEEK", 100)
    left = tmp_path / "retail.unfinished" / "transactions_200607.parquet"
    left.parent.mkdir()
    left.write_bytes(b"of a simulation that was killed")
    demo_retail.simulate(tmp_path / "retail", 3)
    found = {path.name: path.read_bytes() for path in (tmp_path / "retail").iterdir()}
    assert sorted(found) == ["time.csv", *(f"transactions_2006{week:02}.parquet" for week in (7, 8, 9))]
    assert not left.parent.exists()
    demo_retail.simulate(tmp_path / "retail", 4)  # what is there is what is read, whoever wrote it
    assert {path.name: path.read_bytes() for path in (tmp_path / "retail").iterdir()} == found


def test_rankers_are_shown_best_first_by_names_that_people_know() -> None:
    def metrics(hit: float) -> dict[str, float]:
        return {"hit_at_1": hit / 4, "hit_at_5": hit / 2, "hit_at_10": hit, "reciprocal_rank": hit / 3}

    lines = demo_retail.ranker_lines({"popularity": metrics(0.1), "candidate": metrics(0.3), "baseline": metrics(0.2)})
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| model", "| tuned mixture", "| popularity"]
    assert lines[2] == "| model | 0.0750 | 0.1500 | 0.3000 | 0.1000 |"
