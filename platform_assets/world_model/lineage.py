"""Column lineage of the world model's tables across its SQL files, in terms of assets and raw files."""

from __future__ import annotations

from platform_assets.core.lineage import Column, column_lineage
from platform_assets.world_model import raw_schema
from platform_assets.world_model.extraction import PARAMETERS, SQL

RAW, TRANSACTIONS = "retailer/transactions", "world_model/transactions"
_INPUTS = {
    "raw_rows": raw_schema.RAW_ROWS,
    "unreadable_lines": raw_schema.UNREADABLE_LINES,
    "parameters": PARAMETERS,
}


def transactions_lineage() -> dict[str, list[Column]]:
    """world_model/transactions, from the columns of the raw files."""
    found = column_lineage(SQL / "transactions.sql", "transactions", _INPUTS)
    return {
        column: [(RAW, source.upper()) for table, source in pairs if table == "raw_rows"]
        for column, pairs in found.items()
    }


def baskets_lineage() -> dict[str, list[Column]]:
    """world_model/baskets, from world_model/transactions."""
    found = column_lineage(SQL / "baskets.sql", "baskets", {"transactions": tuple(transactions_lineage())})
    return {column: [(TRANSACTIONS, source) for _, source in pairs] for column, pairs in found.items()}
