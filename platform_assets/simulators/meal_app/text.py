"""Text for whole columns at once: UUIDs, joined pieces, joined groups, lists as Postgres literals.

Arrow builds the text in C++; per-row Python strings would cost more than everything else in the simulator together.
"""

# pyarrow.compute gets its functions at run time, where a type checker cannot see them.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

TIMESTAMP = pa.timestamp("us", tz="UTC")
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_DASHES = (8, 13, 18, 23)
_DIGITS = np.setdiff1d(np.arange(36), _DASHES)
# RFC 9562 leaves version 8 to whoever makes the id: here it says "made by the simulator", in every table.
SIMULATED_VERSION = "8"


def draw_uuids(rng: np.random.Generator, count: int) -> pa.StringArray:
    """`count` UUIDs of version 8 as text; a function of the generator's state only."""
    raw = rng.integers(0, 256, (count, 16), np.uint8)
    raw[:, 6] = raw[:, 6] & 0x0F | 0x80
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80
    characters = np.full((count, 36), ord("-"), np.uint8)
    nibbles = np.stack([raw >> 4, raw & 0x0F], axis=2).reshape(count, 32)
    characters[:, _DIGITS] = _HEX[nibbles]
    offsets = np.arange(0, 36 * count + 1, 36, dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), count, [None, pa.py_buffer(offsets), pa.py_buffer(characters)])


def join(*parts: str | pa.Array) -> pa.StringArray:
    """Concatenate text row by row; a plain string stands for itself in every row."""
    return pc.binary_join_element_wise(*parts, "")


def join_groups(values: pa.StringArray, lengths: np.ndarray) -> pa.StringArray:
    """Join consecutive values with commas: the first lengths[0] of them, the next lengths[1], ..."""
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), values), ",")


def integers(values: np.ndarray) -> pa.StringArray:
    """Whole numbers as text."""
    return pa.array(values).cast(pa.string())


def lookup(values: list[str] | tuple[str, ...], positions: np.ndarray) -> pa.StringArray:
    """values[position] for every position."""
    return pa.array(values, pa.string()).take(pa.array(positions))


def timestamps(microseconds: np.ndarray) -> pa.TimestampArray:
    """Microseconds since 1970 as Arrow timestamps in UTC."""
    return pa.array(microseconds.astype("int64"), pa.int64()).cast(TIMESTAMP)


def json_text(value: object) -> str:
    """Compact JSON."""
    return msgspec.json.encode(value).decode()


def postgres_arrays(column: pa.ListArray) -> pa.StringArray:
    """A list<string> column as Postgres array literals: {"a","b"}."""
    values = pc.replace_substring(pc.replace_substring(column.flatten(), "\\", "\\\\"), '"', '\\"')
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    return join("{", join_groups(join('"', values, '"'), lengths), "}")


def replace(column: pa.Array, rows: np.ndarray, values: list[str] | pa.Array) -> pa.Array:
    """The column with values[i] at rows[i]; rows need no order."""
    order = np.argsort(rows, kind="stable")
    mask = np.zeros(len(column), bool)
    mask[rows] = True
    replacements = pa.array(values, column.type) if isinstance(values, list) else values
    return pc.replace_with_mask(column, pa.array(mask), replacements.take(pa.array(order)))
