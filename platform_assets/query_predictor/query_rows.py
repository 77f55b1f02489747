"""One query as a source says it, judged and typed: the columns of `queries`, and the rules that a row can break.

Every adapter hands over `RawQuery`s, whose values may be anything; whatever is wrong with one is said here, with a remedy. A row
belongs to the UTC day of its create time, or, where that cannot be read, of the time in its query id; one with neither belongs
to no day. What does not belong here: reading a source (`sources`), and what needs all rows of a day (`sql/queries.sql`).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import pyarrow as pa

from platform_assets.query_predictor.text_hash import text_hash

POSSIBLE_YEARS = range(1970, 2200)
RAW_LIMIT = 10_000
_LARGEST_BYTES = 2**63 - 1
# A number above it is a time in milliseconds: as seconds it would be the year 5138.
_SECONDS_LIMIT = 1e11
_ID_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)_", re.ASCII)
_DURATION = re.compile(
    r"([+-]?)P(?:([+-]?\d+)D)?(?:T(?:([+-]?\d+)H)?(?:([+-]?\d+)M)?(?:([+-]?\d+(?:\.\d*)?)S)?)?", re.ASCII
)
_TIME = pa.timestamp("us", tz="UTC")
_TEXTS = (
    "queryId", "query", "user", "source", "catalog", "schema", "clientInfo", "queryType", "queryState", "errorName", "errorType",
)  # fmt: skip
QUERIES = pa.schema(
    [
        *((name, pa.string()) for name in _TEXTS), ("cpuTime", pa.float64()), ("peakUserMemoryBytes", pa.int64()),
        ("createTime", _TIME), ("endTime", _TIME), ("textHash", pa.string()),
    ]
)  # fmt: skip
TYPED = QUERIES.append(pa.field("position", pa.int64()))
QUARANTINED = pa.schema([(name, pa.string()) for name in ("queryId", "row", "rule", "reason", "remedy")])
RULES: dict[str, str] = {
    "unreadable_row": "the source's row is no query at all: mend what writes it",
    "missing_query_id": "queryId is missing: send the id that Trino gave the query",
    "missing_create_time": "neither createTime nor the id (yyyyMMdd_HHmmss_...) tells when the query was created: send createTime",
    "impossible_create_time": "createTime lies outside the years 1970 to 2199 or is no time: mend the clock or what writes it",
    "missing_end_time": "when the query ended is not told: send endTime, or queued and wall time",
    "end_before_create": "the query ended before it was created: mend the clock or what writes it",
    "impossible_cost": "CPU time or peak memory is missing, negative or no finite number: send seconds and bytes",
    "missing_text": "the query's text is missing: send it, the empty text where it was empty",
    "missing_user": "who sent the query is missing: send the session's user",
    "unreadable_text": "a text is no text, or not in UTF-8: mend what writes it",
    "conflicting_query": "another row of the same queryId says something else: the first counts; send each query once",
}


class RawQuery(NamedTuple):
    """What a source says of one query, under our names. `fault`: why the row could not even be taken apart."""

    query_id: Any = None
    query: Any = None
    user: Any = None
    source: Any = None
    catalog: Any = None
    schema: Any = None
    client_info: Any = None
    query_type: Any = None
    query_state: Any = None
    error_name: Any = None
    error_type: Any = None
    cpu_time: Any = None
    """Seconds, or an ISO-8601 duration."""
    peak_bytes: Any = None
    created: Any = None
    """A time, ISO-8601, or seconds (or milliseconds) since 1970; when missing, the id's."""
    ended: Any = None
    """As `created`; when missing, `elapsed` after the creation."""
    elapsed: Sequence[Any] = ()
    """Durations that together lead from creation to end."""
    fault: str = ""


class Refused(Exception):
    """The first rule that a row breaks, and how."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule


def day_of(row: RawQuery) -> date | None:
    """The UTC day that a row belongs to; None: no time of it says one."""
    created = moment(row.created)
    created = created if _is_possible(created) else created_from_id(row.query_id)
    return created.date() if created else None


def ended_on(row: RawQuery) -> date | None:
    """The UTC day that a row says its query ended on; None where it says none."""
    ended = moment(row.ended)
    return ended.date() if ended and _is_possible(ended) else None


def typed(row: RawQuery) -> tuple:
    """The row in the order of QUERIES. Raises Refused for the first rule it breaks."""
    if row.fault:
        raise Refused("unreadable_row", row.fault)
    if not isinstance(row.query_id, str) or not row.query_id.strip():
        raise Refused("missing_query_id", f"queryId is {row.query_id!r}"[:200])
    created = _created(row)
    ended = _ended(row, created)
    cost = _cost(row)
    texts = [_text(name, value) for name, value in zip(_TEXTS, row, strict=False)]
    for name, rule in (("query", "missing_text"), ("user", "missing_user")):
        value = texts[_TEXTS.index(name)]
        if value is None or (name == "user" and not value):
            raise Refused(rule, f"{name} is {value!r}")
    codes = [value and value.upper() for value in texts[7:]]
    return (*texts[:7], *codes, *cost, created, ended, text_hash(texts[1] or "").hex())


def quarantined(row: RawQuery, refusal: Refused) -> tuple[str | None, str, str, str, str]:
    """The row in the order of QUARANTINED: as JSON, long texts cut, with what was wrong and what to do."""
    told = {
        name: _shown(value)
        for name, value in row._asdict().items()
        if value is not None and value != () and value != ""
    }
    query_id = row.query_id if isinstance(row.query_id, str) else None
    return (_clean(query_id), json.dumps(told), refusal.rule, _clean(str(refusal)) or "", RULES[refusal.rule])


def created_from_id(query_id: Any) -> datetime | None:
    """The time that begins a Trino query id (yyyyMMdd_HHmmss_..., UTC); None where it is none."""
    found = _ID_TIME.match(query_id) if isinstance(query_id, str) else None
    try:
        # A sixth of strptime's time: every row of a log is asked for its day.
        created = datetime(*map(int, found.groups()), tzinfo=UTC) if found else None
    except ValueError:
        return None
    return created if _is_possible(created) else None


def moment(value: Any) -> datetime | None:
    """A time in UTC; one without a zone is UTC already. None for what is no time."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(re.sub(r" UTC$", "+00:00", value.strip()))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            value = datetime.fromtimestamp(value / 1000 if abs(value) > _SECONDS_LIMIT else value, UTC)
        if not isinstance(value, datetime):
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None


def seconds(value: Any) -> float | None:
    """Seconds of a number, a timedelta or an ISO-8601 duration (PT1.5S); None for what is none of them or not finite."""
    try:
        if isinstance(value, timedelta):
            return value.total_seconds()
        if isinstance(value, str):
            value = _iso_seconds(value.strip())
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if math.isfinite(value) else None
    except (ValueError, OverflowError):
        return None


def _iso_seconds(text: str) -> float:
    if not (found := _DURATION.fullmatch(text)):
        return float(text)
    sign, *parts = found.groups()
    if not any(parts):
        raise ValueError(f"{text} is no duration")
    total = sum(float(part or 0) * unit for part, unit in zip(parts, (86_400, 3_600, 60, 1), strict=True))
    return -total if sign == "-" else total


def _created(row: RawQuery) -> datetime:
    created = moment(row.created)
    if row.created is not None and not _is_possible(created):
        raise Refused("impossible_create_time", f"createTime is {row.created!r}"[:200])
    created = created or created_from_id(row.query_id)
    if created is None:
        raise Refused("missing_create_time", f"createTime is missing, queryId is {row.query_id!r}"[:200])
    return created


def _ended(row: RawQuery, created: datetime) -> datetime:
    ended = moment(row.ended)
    if ended is None:
        parts = [seconds(part) for part in row.elapsed]
        if row.ended is not None or not parts or None in parts:
            raise Refused("missing_end_time", f"endTime is {row.ended!r}, times to it are {list(row.elapsed)!r}"[:200])
        try:
            ended = created + timedelta(seconds=sum(part or 0 for part in parts))
        except OverflowError:
            raise Refused("missing_end_time", f"times to the end are {list(row.elapsed)!r}"[:200]) from None
    if ended < created:
        raise Refused("end_before_create", f"created {created.isoformat()}, ended {ended.isoformat()}")
    if not _is_possible(ended):
        raise Refused("missing_end_time", f"endTime is {ended.isoformat()}")
    return ended


def _cost(row: RawQuery) -> tuple[float, int]:
    cpu, peak = seconds(row.cpu_time), row.peak_bytes
    if cpu is None or cpu < 0:
        raise Refused("impossible_cost", f"CPU time is {row.cpu_time!r}"[:200])
    is_number = isinstance(peak, int | float) and not isinstance(peak, bool)
    if not is_number or not math.isfinite(peak) or peak != int(peak) or not 0 <= peak <= _LARGEST_BYTES:
        raise Refused("impossible_cost", f"peak memory is {peak!r}"[:200])
    return cpu, int(peak)


def _text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or _clean(value) != value:
        raise Refused("unreadable_text", f"{name} is {value!r}"[:200])
    return value


def _is_possible(value: datetime | None) -> bool:
    return value is not None and value.year in POSSIBLE_YEARS


def _clean(text: str | None) -> str | None:
    """The text without unpaired surrogates, which no file holds."""
    return text and text.encode("utf-8", "replace").decode("utf-8")


def _shown(value: Any) -> Any:
    """A value as JSON can hold it; of a long text its beginning, its length and its SHA-256."""
    if isinstance(value, list | tuple):
        return [_shown(part) for part in value]
    if value is None or isinstance(value, bool) or (isinstance(value, int | float) and math.isfinite(value)):
        return value
    text = value if isinstance(value, str) else repr(value) if isinstance(value, bytes) else str(value)
    if len(text) <= RAW_LIMIT:
        return text
    content = text.encode("utf-8", "surrogatepass")
    return f"{text[:RAW_LIMIT]}… ({len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()})"
