"""What a replay counts over its rows, against slow counts: cuts of a ranking, days, an online router."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.query_predictor import replay_figures, replay_summary

RANKED = st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30)
FIRST = date(2026, 2, 9)
ROUTES = st.sampled_from([None, "heavy", "light"])
# Day, heavy, in a safe category, the two sides' decisions, the online router's.
DECIDED = st.lists(
    st.tuples(st.integers(0, 3), st.booleans(), st.booleans(), st.booleans(), st.booleans(), ROUTES), min_size=1, max_size=30
)  # fmt: skip


def columns_of(rows: list[Any]) -> dict[str, np.ndarray]:
    day, heavy, free, candidate, baseline, online = (list(each) for each in zip(*rows, strict=True))
    sent = np.array(candidate) & ~np.array(free)
    count = len(rows)
    return {
        "created": np.array([FIRST + timedelta(days=each) for each in day], "datetime64[us]"), "is_heavy": np.array(heavy),
        "candidate_is_free": np.array(free), "candidate_routed": sent, "candidate_dropped_heavy": np.full(count, 2),
        "baseline_is_free": np.zeros(count, bool), "baseline_routed": np.array(baseline),
        "baseline_dropped_heavy": np.zeros(count, np.int64), "online_route": np.array(online, object),
    }  # fmt: skip


@given(RANKED)
def test_every_cut_of_a_ranking_sends_equal_scores_together(rows: list[tuple[int, bool]]) -> None:
    scores, heavy = np.array([each[0] for each in rows], float), np.array([each[1] for each in rows], bool)
    found = [part.tolist() for part in replay_figures.cuts(scores, heavy)]
    expected = [
        (
            sum(score >= cut for score, _ in rows),
            sum(is_heavy and score < cut for score, is_heavy in rows),
            sum(not is_heavy and score >= cut for score, is_heavy in rows),
        )
        for cut in [9, *sorted({score for score, _ in rows}, reverse=True)]
    ]
    assert list(zip(*found, strict=True)) == expected


@given(DECIDED)
def test_a_days_shares_are_counted_of_its_own_rows_alone(rows: list[Any]) -> None:
    columns = columns_of(rows)
    found = replay_summary.by_day(columns, columns["created"].astype("datetime64[D]"))
    assert list(found) == sorted({(FIRST + timedelta(days=row[0])).isoformat() for row in rows})
    for day, told in found.items():
        own = [row for row in rows if FIRST + timedelta(days=row[0]) == date.fromisoformat(day)]
        heavy = [row for row in own if row[1]]
        assert (told["rows"], told["heavy"]) == (len(own), len(heavy))
        sent = {"candidate": lambda row: row[3] and not row[2], "baseline": lambda row: row[4]}
        for side, decides in sent.items():
            assert told[f"{side}_routed_share"] == sum(map(decides, own)) / len(own)
            assert told[f"{side}_recall"] == (sum(map(decides, heavy)) / len(heavy) if heavy else None)


@given(DECIDED)
def test_an_online_router_is_counted_where_it_decided(rows: list[Any]) -> None:
    found, known = replay_summary.online(columns_of(rows)), [row for row in rows if row[5]]
    if not known:
        assert found == {}
        return
    heavy = [row for row in known if row[1]]
    assert (found["rows"], found["heavy"]) == (len(known), len(heavy))
    assert found["online"]["recall"] == (sum(row[5] == "heavy" for row in heavy) / len(heavy) if heavy else None)
    assert found["baseline"]["agreement"] == sum(row[4] == (row[5] == "heavy") for row in known) / len(known)
    assert found["candidate"]["routed_share"] == sum(row[3] and not row[2] for row in known) / len(known)
