"""The checks of a week's features: whether they are the sample's rows, whose texts the vocabulary is of, how texts were read.

Each counts again, in another way than what it checks, and returns an Outcome; which of them block is said with the asset. What does
not belong here: whether rows are those that serving makes (`parity`), how far they have moved (`feature_drift`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from platform_assets.core.engine import Engine
from platform_assets.core.quality import Outcome, share_below
from platform_assets.query_predictor import sql_tokens, text_terms
from platform_assets.query_predictor.split_features import SPLITS
from platform_assets.query_predictor.text_terms import TermWeights

_SHOWN = 5
_BATCH = 16_384
# What SHOW, CALL and EXECUTE are by nature: the parser knows no more of them.
_READ = ("parsed", "command")
_COUNTED = """
SELECT (SELECT count(*) FROM made WHERE NOT is_heavy) AS light, (SELECT count(*) FROM made WHERE is_heavy) AS heavy,
       (SELECT count(*) FROM sampled AS s JOIN made AS m
        ON m.queryId = s.queryId AND m.createTime = s.createTime AND m.is_heavy = CAST(s.is_heavy AS BOOLEAN)
        AND m.weight = s.weight AND m.template = s.template AND m.category = s.category) AS both_have
"""


def splits_reconcile(
    engine: Engine, folder: Path, sample: Path, counted: Mapping[str, Mapping[str, int]]
) -> tuple[Outcome, dict[str, dict[str, int]]]:
    """Each split has the rows of the sample, as its manifest counts them and one for one; and how many, by label."""
    faults, found = [], {}
    for split in SPLITS:
        files = {"made": [folder / f"{split}_rows.parquet"], "sampled": [sample / f"{split}.parquet"]}
        rows = engine.rows(_COUNTED, files)[0]
        found[split] = {label: rows[label] for label in ("light", "heavy")}
        there = sum(counted[split].values())
        if found[split] != dict(counted[split]):
            faults.append(f"{split} has {found[split]}, the sample {dict(counted[split])}")
        elif rows["both_have"] != there:
            faults.append(f"{rows['both_have']} of {there} rows of {split} are the sample's")
    told = {f"{split} {label}": count for split, each in found.items() for label, count in each.items()}
    return Outcome("splits_reconcile", not faults, "; ".join(faults) or f"{told}", told), found


def vocabulary_of_train(folder: Path, train: Path) -> Outcome:
    """Every term is a word of a train text, and weighs what the train texts alone make of it."""
    terms = TermWeights.from_json((folder / text_terms.NAME).read_text(encoding="utf-8"))
    texts, holding = _texts_with(terms, train)
    foreign = [term for term in terms.terms if not holding[term]]
    weighs = {term: math.log((1 + texts) / (1 + holding[term])) + 1 for term in terms.terms}
    others = [term for term, idf in zip(terms.terms, terms.idf, strict=True) if idf != weighs[term]]
    faults = [f"in no train text: {', '.join(foreign[:_SHOWN])}"] if foreign else []
    faults += [f"weighed by other texts too: {', '.join(others[:_SHOWN])}"] if others else []
    reason = "; ".join(faults) or f"{len(terms)} terms of {texts} different train texts"
    numbers = {"terms": len(terms), "texts": texts, "foreign": len(foreign), "other_weight": len(others)}
    return Outcome("vocabulary_of_train", not faults, reason, numbers)


def parse_fallbacks(report: Mapping[str, Any], limit: float) -> Outcome:
    """The parser read all but few of the queries of validation and test days, which are as they come."""
    natural = [report["rows"][split] for split in ("validation", "test")]
    rows = sum(sum(each.values()) for each in natural)
    read = sum(each[status] for each in natural for status in _READ)
    return share_below("parse_fallbacks", rows - read, rows, limit, "queries whose text no parser read", warning=True)


def _texts_with(terms: TermWeights, train: Path) -> tuple[int, Counter[str]]:
    """How many different train texts there are, and how many of them hold each term."""
    seen, holding, wanted = set[str](), Counter[str](), set(terms.terms)
    with pq.ParquetFile(train) as file:
        for batch in file.iter_batches(_BATCH, columns=["textHash", "query"], use_threads=False):
            for row, key in enumerate(batch["textHash"].to_pylist()):
                if key not in seen:
                    seen.add(key)
                    holding.update(wanted.intersection(text_terms.words(sql_tokens.read(batch["query"][row].as_py()))))
    return len(seen), holding
