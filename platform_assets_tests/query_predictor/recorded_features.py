"""What this release makes of a few texts, sessions and users, and what was recorded when its definitions got their version.

python -m platform_assets_tests.query_predictor.recorded_features

writes the record again: for whoever has raised `features.DEFINITIONS_VERSION`, and for nobody else.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from platform_assets.query_predictor.context_features import Context, context_features
from platform_assets.query_predictor.features import CONTEXT_FEATURES, DEFINITIONS_VERSION, HISTORICAL_NAMES, SQL_NAMES
from platform_assets.query_predictor.history import HistoryOptions
from platform_assets.query_predictor.text_rows import text_row
from platform_assets_tests.query_predictor.counted_history import batch, gathered
from platform_assets_tests.query_predictor.labelled_rows import labelled_row

RECORD = Path(__file__).with_suffix(".json")
START = datetime(2026, 1, 5, 9, tzinfo=UTC)

TEXTS = (
    "",
    "SELECT 1",
    "select distinct a, b.* from hive.sales.orders b where b.day >= date '2026-01-01' and b.day < date '2026-03-01' limit 100",
    """-- monthly
    WITH recent AS (WITH inner_most AS (SELECT * FROM s.t) SELECT x, y FROM inner_most)
    SELECT r.x, count(*), count(DISTINCT r.y), sum(r.y) AS total /* of all */
    FROM recent r LEFT JOIN "Odd Name" o ON r.x = o.x CROSS JOIN u
    WHERE r.y IN (1, 2, 3) AND (o.z LIKE '%milk' OR o.z IS NULL) AND o.d BETWEEN 1 AND 2
    GROUP BY r.x HAVING sum(r.y) > 10 ORDER BY 3""",
    "select a, row_number() over (partition by b order by c), max(d) over () from t join t t2 using (id), unnest(t.items) as i(v)",
    "select a, b, sum(c) from t where not exists (select 1 from u where u.id = t.id) group by rollup (a, b)",
    "select case when a is not null then coalesce(a, 'none') else nullif(b, '') end, if(c, null, 1) from t where a is distinct from b",
    "select a from t union select a from u union all select a from v intersect select a from w",
    "insert into s.target select * from s.source where created > now() - interval '90' day",
    "create table x as select a from t where regexp_like(a, '^x') and b <> {{region}} and c = ?",
    "delete from t where a = 1; update t set b = 2 where a = 1",
    "execute weekly using 1, 2",
    "show tables from hive.sales",
    "select a from (select b from (select c from t where d like 'x%') order by b) fetch first 5 rows only",
    "select 'never ended",
    "select from where ((",
    "select a from t where x in (" + ", ".join(map(str, range(500))) + ")",
    "select " + "(" * 200 + "1" + ")" * 200,
)
CONTEXTS = (
    Context(START),
    Context(datetime(2026, 1, 10, 23, 59, 59, tzinfo=UTC), "hive", "sales", "NON-CURATED"),
    Context(datetime(2026, 2, 25, 4, 30, tzinfo=UTC), "tpch", None, "{}"),
)


def made() -> dict[str, Any]:
    """Name -> everything that the version is of, a value for each text, session or query; NaN is None."""
    rows = [text_row(text) for text in TEXTS]
    contexts = np.stack([context_features(context) for context in CONTEXTS])
    return {
        "definitions_version": DEFINITIONS_VERSION,
        **_columns(SQL_NAMES, np.stack([row.values for row in rows])),
        **_columns([each.name for each in CONTEXT_FEATURES], contexts),
        **_columns(HISTORICAL_NAMES, _history()),
        "words": [row.words for row in rows],
        "template": [row.template for row in rows],
        "category": [row.category for row in rows],
    }


def recorded() -> dict[str, Any]:
    """What `made` told then."""
    return json.loads(RECORD.read_text(encoding="utf-8"))


def _history() -> np.ndarray:
    """Float32 [rows, 17]: of queries of two users over four days, and of one whom nobody knew."""
    log = [
        labelled_row(
            number, START + timedelta(hours=5 * number), timedelta(minutes=30 * number), user=("ann", "bob")[number % 2],
            catalog=(None, "hive", "tpch")[number % 3], schema=("sales", None)[number // 3 % 2], query=TEXTS[1 + number % 5],
            cpuTime=[0.5, 20.0, 700.0, 3.0][number % 4], peakUserMemoryBytes=2 ** (20 + number),
            errorName=("EXCEEDED_TIME_LIMIT" if number % 7 == 3 else None),
        )
        for number in range(18)
    ]  # fmt: skip
    late = labelled_row(99, START + timedelta(days=4), timedelta(hours=1), user="eve", query="select new from t")
    options = HistoryOptions()
    with TemporaryDirectory() as scratch:
        days = gathered(Path(scratch), log, options)
        return batch(Path(scratch), days, [*log, late], options)


def _columns(names: Any, values: np.ndarray) -> dict[str, list[float | None]]:
    """Name -> a value a row, to as many digits as a float32 holds on every machine."""
    shown = [[None if np.isnan(value) else float(f"{value:.6g}") for value in row] for row in values.tolist()]
    return dict(zip(names, map(list, zip(*shown, strict=True)), strict=True))


def main() -> None:
    """One line a name, as people compare them."""
    lines = [f"{json.dumps(name)}: {json.dumps(values)}" for name, values in made().items()]
    RECORD.write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
