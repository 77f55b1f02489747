"""The planted change of texts: only the texts of its share change, from its day on, and the truth says which; else nothing does."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import sqlglot
from sqlglot import exp

from platform_assets.simulators.trino_cluster import SAMPLE, Scenario, SimulatorError
from platform_assets.simulators.trino_cluster.__main__ import main
from platform_assets.simulators.trino_cluster.costs import read_law
from platform_assets.simulators.trino_cluster.generator import Generator
from platform_assets.simulators.trino_cluster.text_change import TextChange, may_change, rewritten
from platform_assets.simulators.trino_cluster.writers import write_log
from platform_assets.simulators.trino_cluster.writing import Statement

STILL = Scenario(4_000, days=14)
DAY, SHARE = 7, 0.4
# Of identifiers and texts as they were drawn before a change of texts could be planted.
DRAWN = "0767c3f8a8fadb2d8009529fa8e1b4e880f6574c8276da60f8071473faad720b"


def frame(scenario: Scenario, folder: Path) -> pd.DataFrame:
    """Rows of the log beside what was planted in them."""
    write_log(Generator(scenario, read_law(SAMPLE)), folder, truth=folder / "truth")
    rows = pd.concat([pq.read_table(path).to_pandas() for path in sorted(folder.glob("*.parquet"))], ignore_index=True)
    planted = pq.read_table(folder / "truth" / "planted.parquet").to_pandas()
    return rows.merge(planted, on="query_id", validate="one_to_one")


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return frame(STILL, tmp_path_factory.mktemp("still"))


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    scenario = replace(STILL, text_change_day=DAY, text_change_share=SHARE)
    return frame(scenario, tmp_path_factory.mktemp("changed"))


def since_change(log: Any) -> Any:
    days = pd.to_datetime(log["query_id"].str[:8])
    return days >= pd.Timestamp(STILL.start) + pd.Timedelta(days=DAY)


def test_without_a_change_the_log_is_drawn_as_ever(still: Any) -> None:
    digest = sha256()
    generator = Generator(STILL, read_law(SAMPLE))
    for block in generator.blocks():
        digest.update("\0".join(block.rows["query_id"].to_pylist() + block.rows["query"].to_pylist()).encode())
    assert digest.hexdigest() == DRAWN
    assert not still["text_changed"].any()


def test_nothing_but_the_texts_that_the_truth_names_is_another(still: Any, changed: Any) -> None:
    others = [name for name in still.columns if name not in ("query", "text_changed")]
    pd.testing.assert_frame_equal(changed[others], still[others])
    differ = changed["query"].ne(still["query"])
    assert differ.equals(changed["text_changed"])
    assert differ.any()
    assert not differ[~since_change(changed)].any()
    for before, after in zip(still["query"][differ], changed["query"][differ], strict=True):
        assert before in after


def test_the_share_is_that_of_the_queries_that_read_tables(still: Any, changed: Any) -> None:
    written = zip(still["query"], still["family"], still["query_type"], still["update_type"], strict=True)
    may = [
        may_change(Statement(text, family, query_type=kind, update_type=update))
        for text, family, kind, update in written
    ]
    reached = changed[since_change(changed) & np.array(may)]
    assert len(reached) > 1_000
    assert reached["text_changed"].mean() == pytest.approx(SHARE, abs=0.06)
    by_text = still.assign(text_changed=changed["text_changed"])[since_change(still)].groupby("query")["text_changed"]
    assert (by_text.nunique() == 1).all()


def test_a_changed_text_is_one_query_around_the_old_one(still: Any, changed: Any) -> None:
    for text in changed["query"][changed["text_changed"]].unique()[:150]:
        parsed = sqlglot.parse_one(text, read="trino")
        assert next(each.alias for each in parsed.find_all(exp.CTE)) == "virtual_table"
        assert parsed.args["limit"] is not None


@pytest.mark.parametrize(
    ("statement", "may"),
    [
        (Statement("SELECT a FROM t", "plain"), True),
        (Statement("-- checked with the business\nwith q AS (SELECT 1) select a\nfrom q", "plain"), True),
        (Statement("/* dag=daily, run=1 */\nSELECT a FROM t", "plain"), True),
        (Statement("SELECT 1", "constant"), False),
        (Statement("SELECT a FORM t", "mistaken"), False),
        (Statement("EXPLAIN SELECT a FROM t", "plain"), False),
        (Statement("EXECUTE statement1", "plain", prepared="SELECT a FROM t"), False),
        (Statement("SHOW COLUMNS FROM t", "columns", query_type="DESCRIBE"), False),
        (Statement("CREATE TABLE s AS SELECT a FROM t", "stored", query_type="INSERT", update_type="CREATE TABLE"), False),
        (Statement("", "plain"), False),
    ],
)  # fmt: skip
def test_only_a_query_that_reads_tables_may_change(statement: Statement, may: bool) -> None:
    change = TextChange(3, 1.0, 7)
    assert [change.reaches(statement, day) for day in (2, 3, 4)] == [False, may, may]
    assert not TextChange(0, 0.0, 7).reaches(statement, 4)
    assert replace(rewritten(statement), text=statement.text) == statement


def test_the_command_plants_a_change_and_the_truth_keeps_what_was_asked(tmp_path: Path) -> None:
    command = ["generate", "--output", str(tmp_path), "--rows", "400", "--days", "4", "--ground_truth", str(tmp_path / "truth")]  # fmt: skip
    assert main([*command, "--text_change_day", "2", "--text_change_share", "0.9"]) == 0
    planted = pq.read_table(tmp_path / "truth" / "planted.parquet").to_pandas()
    days = planted["query_id"].str[:8]
    assert sorted(days[planted["text_changed"]].unique()) == sorted(days.unique())[2:]
    scenario = pd.read_json(tmp_path / "truth" / "truth.json", typ="series")["scenario"]
    assert (scenario["text_change_day"], scenario["text_change_share"]) == (2, 0.9)


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"text_change_day": 14}, "text_change_day is 14; write a number from 0 to 13"),
        ({"text_change_day": -1}, "text_change_day is -1"),
        ({"text_change_share": 1.5}, "text_change_share is 1.5; write a number from 0 to 1"),
    ],
)
def test_a_change_that_cannot_be_is_refused_with_a_remedy(change: dict, remedy: str) -> None:
    with pytest.raises(SimulatorError, match=remedy):
        replace(STILL, **change)
