"""What kind of statement a text is, told by its first significant tokens: the stage before features and model.

Some kinds (`may_be_free`) read metadata alone and may be routed without a model, if the log agrees (`zero_cost`). Kinds that run
a query are never free, whatever the log says: CREATE TABLE AS, EXPLAIN ANALYZE, EXECUTE, CALL, REFRESH and ALTER TABLE EXECUTE
hide one. A text of several statements, or one that no tokenizer accepts, is never free either.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot.tokenizer_core import TokenType

from platform_assets.query_predictor import sql_tokens
from platform_assets.query_predictor.sql_tokens import Tokens


@dataclass(frozen=True)
class Category:
    """One kind of statement. `may_be_free`: it reads no table's rows, as far as its first words tell."""

    name: str
    definition: str
    may_be_free: bool


CATEGORIES = (
    Category("show", "SHOW of anything.", True),
    Category("describe", "DESCRIBE and DESC, INPUT and OUTPUT included.", True),
    Category("use", "USE.", True),
    Category("set", "SET and RESET: session properties, roles, time zone, path.", True),
    Category("explain", "EXPLAIN without ANALYZE: planned, not run.", True),
    Category("transaction", "START TRANSACTION, BEGIN, COMMIT and ROLLBACK.", True),
    Category("prepare", "PREPARE and DEALLOCATE: nothing runs before EXECUTE.", True),
    Category("access", "GRANT, REVOKE and DENY.", True),
    Category("definition", "CREATE, ALTER, DROP and COMMENT that run no query.", True),
    Category("select_without_table", "SELECT without FROM, TABLE or UNNEST anywhere in it.", True),
    Category("select", "Every other SELECT; WITH, VALUES, TABLE and brackets before a query.", False),
    Category("insert", "INSERT.", False),
    Category("create_as", "CREATE TABLE AS.", False),
    Category("change", "UPDATE, DELETE, MERGE and TRUNCATE.", False),
    Category("explain_analyze", "EXPLAIN ANALYZE: the query runs.", False),
    Category("execute", "EXECUTE: what runs is not in the text.", False),
    Category("call", "CALL of a procedure.", False),
    Category("refresh", "REFRESH of a materialized view.", False),
    Category("procedure", "ALTER ... EXECUTE: a table procedure, such as optimize.", False),
    Category("analyze", "ANALYZE: statistics of a table.", False),
    Category("several", "More than one statement.", False),
    Category("unreadable", "Longer than what is read, or refused by the tokenizer.", False),
    Category("blank", "No token.", False),
    Category("other", "Anything else.", False),
)
NAMES = tuple(category.name for category in CATEGORIES)
FREE_CANDIDATES = frozenset(category.name for category in CATEGORIES if category.may_be_free)
_FIRST_WORDS = {
    "SHOW": "show", "DESCRIBE": "describe", "DESC": "describe", "USE": "use", "SET": "set", "RESET": "set",
    "START": "transaction", "BEGIN": "transaction", "COMMIT": "transaction", "ROLLBACK": "transaction", "PREPARE": "prepare",
    "DEALLOCATE": "prepare", "GRANT": "access", "REVOKE": "access", "DENY": "access", "CREATE": "definition",
    "ALTER": "definition", "DROP": "definition", "COMMENT": "definition", "SELECT": "select", "WITH": "select",
    "VALUES": "select", "TABLE": "select", "(": "select", "INSERT": "insert", "UPDATE": "change", "DELETE": "change",
    "MERGE": "change", "TRUNCATE": "change", "EXECUTE": "execute", "CALL": "call", "REFRESH": "refresh", "ANALYZE": "analyze",
}  # fmt: skip
_READING = frozenset({TokenType.FROM, TokenType.TABLE, TokenType.UNNEST, TokenType.JOIN})
_QUOTED = sql_tokens.STRINGS | {TokenType.IDENTIFIER, TokenType.NUMBER}
_HEAD = 8


def category(text: str) -> str:
    """The name of a text's category; every text has one."""
    return category_of(text, sql_tokens.read(text))


def category_of(text: str, read: Tokens) -> str:
    """As `category`, of a text that is already tokenised."""
    if read.is_cut or read.is_refused:
        return "unreadable"
    types = _statement(read)
    if TokenType.SEMICOLON in types:
        return "several"
    explain = sql_tokens.EXPLAIN.match(text)
    if explain:
        return "explain_analyze" if explain[2] else "explain"
    if not types:
        return "blank"
    return _by_first_word(read, types)


def _by_first_word(read: Tokens, types: list[TokenType]) -> str:
    begin = read.types.index(types[0])
    if types[0] in _QUOTED:
        return "other"
    first = read.tokens[begin].text.upper().partition(" ")[0]
    name = _FIRST_WORDS.get(first, "other")
    if name == "select":
        return "select_without_table" if first == "SELECT" and _READING.isdisjoint(types) else "select"
    if name == "definition":
        return _definition(read, types, begin)
    return name


def _definition(read: Tokens, types: list[TokenType], begin: int) -> str:
    head = " ".join(token.text[:40] for token in read.tokens[begin : begin + _HEAD]).upper().split()
    if head[0] == "ALTER" and TokenType.EXECUTE in types:
        return "procedure"
    if head[0] == "CREATE" and "TABLE" in head[1:4] and TokenType.ALIAS in types:
        return "create_as"
    return "definition"


def _statement(read: Tokens) -> list[TokenType]:
    """Types of the tokens without the semicolons around them."""
    types = read.types
    begin, end = 0, len(types)
    while begin < end and types[begin] == TokenType.SEMICOLON:
        begin += 1
    while end > begin and types[end - 1] == TokenType.SEMICOLON:
        end -= 1
    return types[begin:end]
