"""How long a period a text names: held to dates and intervals that are known before the text is written."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.query_predictor.features import SQL_NAMES
from platform_assets.query_predictor.sql_features import ParseStatus, featurise
from platform_assets.query_predictor.sql_periods import DAYS_OF, period_days
from platform_assets.query_predictor.sql_tokens import read

PLACE = SQL_NAMES.index("period_days")
DATES = st.dates(date(1990, 1, 1), date(2035, 12, 31))
FORMS = ("DATE '{}'", "'{}'", "TIMESTAMP '{} 12:30:00'", "CAST(' {}' AS date)")
INTERVALS = ("INTERVAL '{}' {}", "INTERVAL {} {}", "INTERVAL '-{}' {}", "interval - '{}' {}s", "date_add('{1}', -{0}, x)",
             "DATE_ADD('{1}', {0}, now())")  # fmt: skip


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("select 1 from t where d >= date '1994-01-01' and d < date '1994-01-01' + interval '3' month", 91.310625),
        ("select 1 from t where d between '2025-01-01' and '2025-01-31 10:00:00'", 30),
        ("select 1 from t where dt in ('20250601', '20250603') or dt = '2025-06-08'", 7),
        ("select 1 from t where d > current_date - interval '7' day", 7),
        ("select 1 from t where d > date_add('week', -2, current_date)", 14),
        ("select 1 from t where d = '2025-06-01' and e = '2025-06-01'", 0),
        ("select interval '36' hour", 1.5),
        ("select 1 from t where d = '2025-06-01'", math.nan),
        ("select 1 from t where d between '2025-02-30' and '2025-06-01'", math.nan),
        ("select '2025010112', '12025-01-01', 'since 2025-01-01', '2025-0101', 20250101, 20260101", math.nan),
        ("select 1 -- '2025-01-01' to '2025-03-01'", math.nan),
        ("select interval, date_add('day', ", math.nan),
        ("select interval '1' fortnight, date_add('day', n, x), interval 'a' day", math.nan),
        ("", math.nan),
    ],
)
def test_a_period_is_what_its_dates_or_its_interval_cover(text: str, days: float) -> None:
    assert period_days(read(text)) == pytest.approx(days, nan_ok=True)
    assert featurise(text).values[PLACE] == pytest.approx(np.float32(days), nan_ok=True)


def test_a_text_that_no_parser_reads_has_its_period_too() -> None:
    row = featurise("selec * form '2025-01-01' '2025-01-03' )(")
    assert row.status == ParseStatus.REFUSED
    assert row.values[PLACE] == 2


@st.composite
def named(draw: st.DrawFn) -> tuple[str, list[date], list[float]]:
    """A WHERE of dates and intervals in some order, and what it names."""
    dates = draw(st.lists(DATES, max_size=4))
    lengths = draw(st.lists(st.tuples(st.integers(0, 400), st.sampled_from(sorted(DAYS_OF))), max_size=3))
    parts = [draw(st.sampled_from(FORMS)).format(each) for each in dates]
    parts += [draw(st.sampled_from(INTERVALS)).format(number, unit) for number, unit in lengths]
    order = draw(st.permutations(parts))
    return ", ".join(["select 1", *order]), dates, [number * DAYS_OF[unit] for number, unit in lengths]


@given(named())
@settings(deadline=None, max_examples=200)
def test_the_longest_of_what_was_written_is_found(case: tuple[str, list[date], list[float]]) -> None:
    text, dates, lengths = case
    between = [(one - other).days for one in dates for other in dates if one is not other]
    expected = max([*lengths, *between], default=math.nan)
    assert period_days(read(text)) == pytest.approx(expected, nan_ok=True)
