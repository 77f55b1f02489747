"""The table of features: what each is named, what it counts, in which unit. Code, documents and tests read it here.

78 base features come from a query's text (70) and from what is known of it when it arrives (8); 17 historical ones from
queries that ended before. The order is the order of columns. What does not belong here is how a feature is computed: that
is `sql_features`, `sql_tree`, `sql_tokens` and `context_features` for the base, history's own modules for the rest.

Missing is NaN. A text that is not parsed has every feature that tokens can tell, and NaN in those that only a tree can.
"""

from __future__ import annotations

from dataclasses import dataclass

# Of what the names mean, templates and words included. Whoever changes any of their values raises it (a test compares recorded
# values): arrays and models of other definitions are refused, as they would be wrong without looking it. Templates and categories are
# kept with the labelled days, which have to be made again before the features (docs/runbooks/query-predictor.md).
DEFINITIONS_VERSION = 1
BASE_FEATURE_COUNT = 78
HISTORICAL_FEATURE_COUNT = 17


@dataclass(frozen=True)
class Feature:
    """One column. `group` is the part of the query it looks at."""

    name: str
    definition: str
    unit: str
    group: str


def _table(group: str, count: int, rows: str) -> tuple[Feature, ...]:
    """Reads lines of `name | unit | definition`."""
    cells = [[cell.strip() for cell in row.split("|")] for row in rows.strip().splitlines()]
    features = tuple(Feature(name, definition, unit, group) for name, unit, definition in cells)
    assert len(features) == count, f"{group} has {len(features)} features, not {count}"
    return features


TEXT = _table("text", 15, """
    characters             | characters | Length of the text as it was sent.
    lines                  | lines      | Line feeds in it, plus one.
    tokens                 | tokens     | Tokens; comments and blanks are none.
    distinct_tokens        | tokens     | Tokens of different spelling.
    longest_token          | characters | Length of the longest token, quotes left out.
    comments               | comments   | Comments, of a line or of a block.
    comment_characters     | characters | Characters of comments.
    string_literals        | literals   | Quoted strings.
    number_literals        | literals   | Numbers.
    longest_string         | characters | Length of the longest quoted string.
    quoted_identifiers     | names      | Names in double quotes.
    commas                 | tokens     | Commas outside of strings and comments.
    bracket_depth          | levels     | Most round, square and curly brackets open at once.
    statements             | statements | Statements that are not blank, parted by semicolons.
    parameters             | parameters | Placeholders: {{name}} and ?.
""")  # fmt: skip

TABLES = _table("tables and joins", 12, """
    tables                 | references | References to stored tables and views, what is written to included; names of WITH queries are none.
    distinct_tables        | tables     | Different stored tables and views.
    joins                  | joins      | Joins of every kind, commas in FROM included.
    outer_joins            | joins      | LEFT, RIGHT and FULL joins.
    cross_joins            | joins      | Joins with neither ON, USING nor NATURAL; UNNEST and LATERAL are left out.
    self_joins             | references | Repeated references to one name within one FROM.
    most_joins             | joins      | Joins of the SELECT that has most.
    ctes                   | queries    | Queries named by WITH.
    nested_with_depth      | levels     | Most WITH clauses around one another.
    selects                | selects    | SELECTs.
    select_depth           | levels     | Most SELECTs around one another; 1 is a query without a subquery.
    unnests                | references | UNNEST in FROM.
""")  # fmt: skip

FILTERS = _table("where", 10, """
    period_days            | days       | From the earliest to the latest date that the text names, or its longest INTERVAL if longer; missing without.
    unfiltered_selects     | selects    | SELECTs that read a stored table without a WHERE.
    where_predicates       | predicates | Comparisons, IN, LIKE, BETWEEN, IS and EXISTS below a WHERE, subqueries included.
    where_equalities       | predicates | = below a WHERE.
    where_ranges           | predicates | <, <=, >, >= and BETWEEN below a WHERE.
    where_ors              | operators  | OR below a WHERE.
    largest_in_list        | values     | Values of the longest IN list, anywhere.
    likes                  | predicates | LIKE and regular expressions, anywhere.
    leading_wildcard_likes | predicates | LIKE with a pattern that begins with % or _, anywhere.
    where_subqueries       | selects    | SELECTs below a WHERE.
""")  # fmt: skip

AGGREGATION = _table("aggregation and windows", 8, """
    aggregates             | calls      | Aggregate functions without OVER.
    distinct_aggregates    | calls      | Aggregate functions of DISTINCT values.
    group_bys              | clauses    | GROUP BY clauses.
    most_group_keys        | keys       | Keys of the GROUP BY that has most; a grouping set's keys count one each.
    grouping_sets          | clauses    | ROLLUP, CUBE and GROUPING SETS.
    havings                | clauses    | HAVING clauses.
    windows                | calls      | Functions with OVER.
    window_orders          | calls      | Functions with OVER that has an ORDER BY.
""")  # fmt: skip

TREE = _table("syntax tree", 10, """
    parse_status           | code       | How the text was read: the number of its ParseStatus.
    nodes                  | nodes      | Nodes of the syntax tree.
    tree_depth             | levels     | Levels of the syntax tree.
    node_types             | types      | Different types of nodes.
    columns                | references | References to columns.
    functions              | calls      | Function calls, aggregates and unknown names included.
    conditionals           | expressions| CASE and IF.
    stars                  | stars      | * in a list of columns; count(*) is none.
    order_bys              | clauses    | ORDER BY of queries; those of windows and aggregates are none.
    row_limit              | rows       | Number in the outermost LIMIT or FETCH; missing where there is none.
""")  # fmt: skip

CONTEXT = _table("context", 8, """
    hour_sine              | -1..1      | Sine of the UTC time of day, a turn a day.
    hour_cosine            | -1..1      | Cosine of the same.
    weekday_sine           | -1..1      | Sine of the UTC day of the week, a turn a week, Monday 0.
    weekday_cosine         | -1..1      | Cosine of the same.
    is_weekend             | 0 or 1     | Created on a Saturday or Sunday, UTC.
    has_catalog            | 0 or 1     | The session names a catalog.
    has_schema             | 0 or 1     | The session names a schema.
    client_info_length     | characters | Length of the client's information; missing counts 0.
""")  # fmt: skip

QUERY_TYPE = _table("query type", 5, """
    is_read                | 0 or 1     | The first statement begins with SELECT, WITH, VALUES, TABLE or a bracket.
    is_insert              | 0 or 1     | It is an INSERT or refreshes a materialized view.
    is_create_as           | 0 or 1     | It creates a table from a query.
    is_change              | 0 or 1     | It is an UPDATE, DELETE, MERGE or TRUNCATE.
    is_call                | 0 or 1     | It is an EXECUTE or CALL: what runs is not in the text.
""")  # fmt: skip

SETS = _table("set operations", 4, """
    unions                 | operators  | UNION that removes duplicates.
    union_alls             | operators  | UNION ALL.
    intersects_excepts     | operators  | INTERSECT and EXCEPT.
    select_distincts       | selects    | SELECT DISTINCT.
""")  # fmt: skip

NULLS = _table("nulls", 6, """
    is_nulls               | predicates | IS NULL.
    is_not_nulls           | predicates | IS NOT NULL.
    coalesces              | calls      | COALESCE.
    nullifs                | calls      | NULLIF.
    null_literals          | literals   | NULL as a value; that of IS NULL is none.
    null_safe_comparisons  | predicates | IS DISTINCT FROM and IS NOT DISTINCT FROM.
""")  # fmt: skip

SQL_FEATURES = (*TEXT, *TABLES, *FILTERS, *AGGREGATION, *TREE, *QUERY_TYPE, *SETS, *NULLS)
CONTEXT_FEATURES = CONTEXT
BASE_FEATURES = (*SQL_FEATURES, *CONTEXT_FEATURES)

# A template's three take the places of the weakest of the usual ones: the catalog's two and the schema's one that say
# least once a catalog's mean cost is known.
HISTORICAL_FEATURES = (
    *_table("history of the user", 6, """
    user_queries           | log1p(count)       | Queries of the user that had ended.
    user_heavy_rate        | share              | Share of heavy ones among them, shrunk towards the share of all queries.
    user_mean_cpu          | log1p(seconds)     | Mean of log1p(CPU seconds) of them.
    user_largest_cpu       | log1p(seconds)     | Largest CPU time of them.
    user_mean_memory       | log1p(GiB)         | Mean of log1p(peak GiB) of them.
    user_failed_rate       | share              | Share of resource errors among them, shrunk towards the share of all queries.
    """),
    *_table("history of the catalog", 4, """
    catalog_queries        | log1p(count)       | Queries in the session's catalog that had ended.
    catalog_heavy_rate     | share              | Share of heavy ones among them, shrunk.
    catalog_mean_cpu       | log1p(seconds)     | Mean of log1p(CPU seconds) of them.
    catalog_mean_memory    | log1p(GiB)         | Mean of log1p(peak GiB) of them.
    """),
    *_table("history of the schema", 3, """
    schema_queries         | log1p(count)       | Queries in the session's catalog and schema that had ended.
    schema_heavy_rate      | share              | Share of heavy ones among them, shrunk.
    schema_mean_cpu        | log1p(seconds)     | Mean of log1p(CPU seconds) of them.
    """),
    *_table("history of the template", 3, """
    template_queries       | log1p(count)       | Queries of the same template, whoever sent them, that had ended.
    template_heavy_rate    | share              | Share of heavy ones among them, shrunk.
    template_last_cpu      | log1p(seconds)     | CPU time of the last of them; missing where there is none.
    """),
    *_table("cold start", 1, """
    is_new_user            | 0 or 1             | No query of the user had ended.
    """),
)  # fmt: skip

SQL_NAMES = tuple(feature.name for feature in SQL_FEATURES)
BASE_NAMES = tuple(feature.name for feature in BASE_FEATURES)
HISTORICAL_NAMES = tuple(feature.name for feature in HISTORICAL_FEATURES)

assert len(BASE_FEATURES) == BASE_FEATURE_COUNT
assert len(HISTORICAL_FEATURES) == HISTORICAL_FEATURE_COUNT
assert len({*BASE_NAMES, *HISTORICAL_NAMES}) == BASE_FEATURE_COUNT + HISTORICAL_FEATURE_COUNT
