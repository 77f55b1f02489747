"""Hostile JSON at every position of every event type: typed as a slow judge says, or quarantined by the rule it names."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from platform_assets.planner import contract, schemas, validation
from platform_assets_tests.planner.hostile_oracle import first_broken_rule
from platform_assets_tests.planner.test_validation import CONTEXT, NOW, PLAN, SOURCE_SCHEMA, event, validate

PAYLOADS: dict[str, dict[str, Any]] = {
    "plan_generated": PLAN,
    "plan_accepted": PLAN,
    "plan_rejected": {"plan_id": "p1", "rejection_reason": "too hot"},
    "meal_swapped": {"plan_id": "p1", "day": "friday", "from": "r1", "to": "r2"},
    "edit_applied": {"plan_id": "p1", "type": "add_meal", "day": "friday", "recipe_id": "r1", "servings": 2},
    "validator_intervention": {"plan_id": "p1", "intervention_type": "replaced"},
}
CONTEXTS = {**CONTEXT, "app_version": "1.2", "propensity": 0.5}
EXPERIMENTS = [{"experiment_id": "x", "variant_id": "a"}]
METRICS = {"latency_ms": 1.5, "token_count": 3, "cost_usd": 0.1, "edit_count": 1}
DROP = "'; DROP TABLE exp.events; --"
# As they may stand in a JSON text: what no Python value can say (NaN, 1e400, a lone surrogate) among them.
HOSTILE_TEXTS = [
    "NaN", "Infinity", "-Infinity", '"NaN"', "1e400", "-1e400", "1e-400", "-0.0", str(2**63), str(-(2**63) - 1), str(2**31), str(2**53 + 1),
    "1" + "0" * 5_000, "2.0", "2e0", '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"a\\u202eb"', '"a\\u200bb"', '"a\u200db"',
    '"\u202e"', '"\\u007f"', '"a\x7fb"', '"\\n"', '"\u00e9\u4e16"', '""', '" "', json.dumps("x" * 128), json.dumps("x" * 129), json.dumps("x" * 10_001),
    json.dumps("x" * 1_000_000), json.dumps(DROP), "null", "true", "[]", "{}", "[null]", "[[]]", '{"": {}}', "", "}", '{"plan_id": "a", "plan_id": 5}',
    "[" * 5_000 + "]" * 5_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000,
]  # fmt: skip
MARK = "<here>"

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["plan_id", "day", "type", "meals", "servings", "recipe_id"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
# json.dumps escapes lone surrogates and hidden characters; without ensure_ascii they stand in the text as they are.
hostile_texts = st.sampled_from(HOSTILE_TEXTS) | any_json.map(json.dumps) | st.text(st.characters(exclude_categories=["Cs"]), max_size=6).map(
    lambda text: json.dumps(text, ensure_ascii=False)
)  # fmt: skip


def positions(value: Any, path: tuple = ()) -> list[tuple]:
    """Every position in a JSON value, its root among them."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, child in inner for found in positions(child, (*path, key)))]


def planted(value: Any, path: tuple, text: str) -> str:
    """The JSON text of `value` with `text` in the place of what stands at `path`."""
    if not path:
        return text
    changed = copy.deepcopy(value)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = MARK
    return json.dumps(changed).replace(json.dumps(MARK), text)


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """An event with hostile JSON at one position of one column, or of several at once."""
    kind = draw(st.sampled_from(sorted(PAYLOADS)))
    valid = {"payload": PAYLOADS[kind], "context": CONTEXTS, "experiments": EXPERIMENTS, "metrics": METRICS}
    hit = draw(st.sets(st.sampled_from(sorted(valid)), max_size=2))
    texts = {
        name: planted(value, draw(st.sampled_from(positions(value))), draw(hostile_texts))
        if name in hit
        else json.dumps(value)
        for name, value in valid.items()
    }
    return event(event_type=kind, **texts)


def check(folder: Path, batch: list[dict[str, Any]]) -> None:
    for number, row in enumerate(batch):
        row["id"] = f"e{number}"
    good, bad = validate(folder, batch)
    assert sorted(row["event_id"] for row in good + bad) == sorted(row["id"] for row in batch)
    expected = {
        row["id"]: first_broken_rule(
            row["event_type"], row["payload"], row["context"], row["experiments"], row["metrics"]
        )
        for row in batch
    }
    assert {row["event_id"]: row["rule"] for row in bad} == {name: rule for name, rule in expected.items() if rule}
    assert {row["event_id"] for row in good} == {name for name, rule in expected.items() if rule is None}
    for row in bad:
        assert row["rule"] in validation.RULES
        assert 0 < len(row["reason"]) <= validation.REASON_LIMIT
        assert len(row["payload"]) < validation.RAW_LIMIT + 120
    again, still_bad = validate(folder, map(as_source, good))
    assert not still_bad, "a typed event, written as its sender would, is valid again"
    assert again == good


def as_source(typed: dict[str, Any]) -> dict[str, Any]:
    """A typed event written back as the row it came from."""
    edit = {name: value for name, value in (typed["edit"] or {}).items() if value is not None}
    detail = {"plan_rejected": "rejection_reason", "validator_intervention": "intervention_type"}
    payload: dict[str, Any] = {"plan_id": typed["plan_id"], **edit}
    if typed["meals"] is not None:
        payload["plan"] = {"meals": typed["meals"]}
    if typed["detail"] is not None:
        payload[detail[typed["event_type"]]] = typed["detail"]
    context = {name: typed[name] for name in CONTEXTS if typed[name] is not None}
    arm = {name: typed[name] for name in ("experiment_id", "variant_id") if typed[name] is not None}
    metrics = {name: typed[name] for name in METRICS if typed[name] is not None}
    return event(
        id=typed["event_id"], event_type=typed["event_type"], unit_id=typed["household_id"], payload=payload, context=context,
        experiments=[arm] if arm else [], metrics=metrics, timestamp=typed["timestamp"], created_at=typed["created_at"],
    )  # fmt: skip


@pytest.mark.parametrize("kind", sorted(PAYLOADS))
def test_every_hostile_text_at_every_position_ends_where_the_oracle_says(tmp_path: Path, kind: str) -> None:
    texts = [text for text in HOSTILE_TEXTS if len(text) < 20_000]
    valid = {"payload": PAYLOADS[kind], "context": CONTEXTS, "experiments": EXPERIMENTS, "metrics": METRICS}
    # The columns beside the payload are judged alike for every type: once is enough.
    names = list(valid) if kind == "plan_accepted" else ["payload"]
    batch = [
        event(event_type=kind, **{**valid, name: planted(valid[name], path, text)})
        for name in names
        for path in positions(valid[name])
        for text in texts
    ]
    check(tmp_path, batch)


@settings(max_examples=60, deadline=None)
@given(batch=st.lists(rows(), min_size=1, max_size=8))
@example(batch=[event(payload=text) for text in HOSTILE_TEXTS])
@example(batch=[event(payload=planted({**PLAN, "unknown": 1}, ("unknown",), text)) for text in HOSTILE_TEXTS])
def test_any_hostile_batch_is_split_as_the_oracle_says_and_its_typed_rows_are_valid_again(
    tmp_path_factory: pytest.TempPathFactory, batch: list[dict[str, Any]]
) -> None:
    check(tmp_path_factory.mktemp("hostile"), batch)


@settings(max_examples=80, deadline=None)
@given(
    unit=st.none() | st.text(max_size=200) | st.sampled_from([DROP, "x" * 1_000_000, "\0"]),
    kind=st.sampled_from([*contract.PAYLOADS, "", DROP, "x" * 1_000_000]) | st.text(max_size=9),
    unit_type=st.sampled_from(["household", "user", "", DROP, None]),
)
def test_no_unit_and_no_type_whatever_is_lost_or_raises(
    tmp_path_factory: pytest.TempPathFactory, unit: str | None, kind: str, unit_type: str | None
) -> None:
    row = event(event_type=kind, unit_id=unit, unit_type=unit_type)
    if any("\ud800" <= letter <= "\udfff" for text in (unit or "", kind) for letter in text):
        return  # no text column can hold it
    good, bad = validate(tmp_path_factory.mktemp("units"), [row])
    assert len(good) + len(bad) == 1
    assert all(row["event_type"] in ("model_promoted", "model_rollback") for row in good)
    assert all(len(row["household_id"]) < 2_000 and len(row["event_type"]) < 2_000 for row in bad)


def test_the_quarantine_keeps_a_bounded_excerpt_of_a_large_payload_with_its_size_and_hash(tmp_path: Path) -> None:
    import hashlib

    payload = json.dumps({"plan_id": 5, "notes": "é" * 500_000}, ensure_ascii=False)
    _, (row,) = validate(tmp_path, [event(payload=payload)])
    digest = hashlib.sha256(payload.encode()).hexdigest()
    assert row["payload"].startswith('{"plan_id": 5, "notes": "ééé')
    assert row["payload"].endswith(f"… ({len(payload.encode())} bytes, sha256 {digest})")
    assert len(row["payload"]) < validation.RAW_LIMIT + 120


def test_of_a_repeated_key_every_value_must_be_valid_and_the_last_one_counts(tmp_path: Path) -> None:
    texts = ['{"plan_id": "a", "plan_id": "b"}', '{"plan_id": 5, "plan_id": "b"}', '{"plan_id": "a", "plan_id": 5}']
    good, bad = validate(tmp_path, [event(event_type="plan_rejected", payload=text) for text in texts])
    assert [row["plan_id"] for row in good] == ["b"]
    assert [row["rule"] for row in bad] == ["malformed_payload"] * 2


def test_hostile_pantries_keep_their_rows_with_a_reason(tmp_path: Path) -> None:
    item = {"name": "rice", "quantity": 1.0, "unit": "kg"}
    texts = [None, "[]", *(planted([item], path, text) for path in positions([item]) for text in HOSTILE_TEXTS)]
    schema = pa.schema(
        [
            *((name, schemas.PANTRY_SNAPSHOTS.field(name).type) for name in ("entity", "valid_from", "recorded_at")),
            *((name, pa.string()) for name in ("id", "items", "oversized")),
        ]
    )
    given_rows = [
        {"entity": "h", "valid_from": NOW, "recorded_at": NOW, "id": str(number), "items": text, "oversized": None}
        for number, text in enumerate(texts)
    ]
    given_rows.append({**given_rows[0], "id": "large", "oversized": "items has 9 bytes"})
    reader = pa.Table.from_pylist(given_rows, schema=schema).to_reader(max_chunksize=7)
    assert validation.type_pantry(reader, tmp_path / "pantry.parquet") == len(given_rows)
    found = pq.read_table(tmp_path / "pantry.parquet").to_pylist()
    assert [row["id"] for row in found] == [row["id"] for row in given_rows]
    assert all((row["items"] is None) == (row["malformed"] is not None) for row in found)
    by_text = {text: row for text, row in zip(texts, found, strict=False)}
    assert by_text["[]"]["items"] == []
    assert "Infinity" not in str([row["items"] for row in found])
    assert found[-1]["malformed"] == "items has 9 bytes"
    assert by_text[planted([item], (0, "name"), json.dumps(DROP))]["items"][0]["name"] == DROP
    assert "U+0000" in by_text[planted([item], (0, "name"), '"\\u0000"')]["malformed"]


def test_a_nul_may_stand_in_no_text_of_a_parquet_source_either(tmp_path: Path) -> None:
    source = tmp_path / "source.parquet"
    plan = {"plan_id": "p\0", "plan": PLAN["plan"]}
    pq.write_table(
        pa.Table.from_pylist([event(payload=plan), event(id="e2", unit_id="\0")], schema=SOURCE_SCHEMA), source
    )
    good, bad = validate(tmp_path, pq.read_table(source).to_pylist())
    assert not good
    assert {(row["event_id"], row["rule"]) for row in bad} == {("e1", "malformed_payload"), ("e2", "malformed_unit_id")}


def test_extremely_deep_json_does_not_end_the_process(tmp_path: Path) -> None:
    """A stack overflow cannot be caught: only another process can tell of it. With the smallest stack that Linux gives a thread."""
    code = (
        "import threading; threading.stack_size(256 * 1024)\n"
        "from platform_assets.planner import contract, validation\n"
        "def work():\n"
        "    for text in ('[' * 100_000 + ']' * 100_000, '{\"a\":' * 100_000 + '1' + '}' * 100_000):\n"
        "        for decoder in (*contract.PAYLOADS.values(), contract.CONTEXT, contract.EXPERIMENTS, contract.METRICS):\n"
        "            try: validation._decode(decoder, '{\"x\": ' + text + '}', '', 'rule')\n"
        "            except validation._Refused: print('refused')\n"
        "thread = threading.Thread(target=work); thread.start(); thread.join()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("refused") == 2 * (len(contract.PAYLOADS) + 3)
