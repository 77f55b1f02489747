"""What people see of a Parquet file: its schema and a small sample, as text.

Two reads of the file's beginning and footer; nothing is computed over its rows (`core.profile` does that).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

# Everything that some reader takes for the end of a line, and the other control characters.
_CONTROLS = re.compile("\r\n|[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def column_schema(path: Path) -> list[tuple[str, str, bool]]:
    """(name, Arrow type, nullable) of every top-level column, in the file's order."""
    import pyarrow.parquet as pq

    return [(field.name, str(field.type), field.nullable) for field in pq.read_schema(path)]


def preview_markdown(path: Path, rows: int = 5, width: int = 60) -> str:
    """The file's first rows as a Markdown table; cells longer than `width` characters are cut with an ellipsis.

    The order is the file's own, so that one file always shows the same sample; nested values are compact JSON with sorted
    keys. Raises ValueError for a width below 1 or fewer than 0 rows.
    """
    if width < 1 or rows < 0:
        raise ValueError(f"a preview needs a width of 1 or more and 0 rows or more, got {width} and {rows}")
    names, sample = _head(path, rows)
    if not names:
        return "*no column*"
    lines = [_line(_cell(name, width) for name in names), _line("---" for _ in names)]
    lines += [_line(_cell(value, width) for value in row) for row in sample]
    return "\n".join(lines if sample else [*lines, "", "*no rows*"])


def _head(path: Path, rows: int) -> tuple[list[str], list[list[Any]]]:
    """Column names and the first rows. By position: a file may hold two columns of one name."""
    import pyarrow.parquet as pq

    found: list[list[Any]] = []
    with pq.ParquetFile(path) as file:
        # Batches of no more than is shown: a row group of long documents is not decoded for five rows.
        for batch in file.iter_batches(batch_size=max(rows, 1)):
            found += [list(row) for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)]
            if len(found) >= rows:
                break
        return list(file.schema_arrow.names), found[:rows]


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any, width: int) -> str:
    text = _text(value)
    # Cut first: an escape must not be cut in two.
    text = text if len(text) <= width else text[: width - 1] + "…"
    return _escape(text)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, default=_text, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    return str(value)


def _escape(text: str) -> str:
    # The interface renders HTML inside Markdown: text of a table must stay text.
    for plain, escaped in (("\\", "\\\\"), ("|", "\\|"), ("&", "&amp;"), ("<", "&lt;"), ("`", "\\`")):
        text = text.replace(plain, escaped)
    return _CONTROLS.sub(" ", text)
