"""Fixed reports, in the manner of the TPC-H queries: those over one fact table and at most one more, and the list of all.

Dashboards and jobs send them as they stand; people change their periods. What does not belong here: free variations of
joins, groups and measures, which are `shapes`.
"""

from __future__ import annotations

from collections.abc import Callable

from platform_assets.simulators.trino_cluster.joined_reports import (
    REVENUE,
    cheapest_supplier,
    large_orders,
    local_suppliers,
    product_profit,
    returned_items,
    shipping_priority,
    stock_value,
    trade_between_nations,
    waiting_suppliers,
)
from platform_assets.simulators.trino_cluster.writing import (
    MODES,
    PRIORITIES,
    Pen,
    Statement,
    conditions,
)

Report = Callable[[Pen], Statement]


def pricing_summary(pen: Pen) -> Statement:
    return pen.done(
        f"""SELECT l_returnflag, l_linestatus, sum(l_quantity) AS sum_qty, sum(l_extendedprice) AS sum_base_price,
  {REVENUE} AS sum_disc_price, avg(l_quantity) AS avg_qty, avg(l_discount) AS avg_disc, count(*) AS count_order
FROM lineitem
{conditions(pen.period("l_shipdate"))}
GROUP BY l_returnflag, l_linestatus
ORDER BY l_returnflag, l_linestatus""",
        "pricing_summary",
    )


def late_orders(pen: Pen) -> Statement:
    return pen.done(
        f"""SELECT o_orderpriority, count(*) AS order_count
FROM orders
{conditions(pen.period("o_orderdate"), "EXISTS (SELECT 1 FROM lineitem WHERE l_orderkey = o_orderkey AND l_commitdate < l_receiptdate)")}
GROUP BY o_orderpriority
ORDER BY o_orderpriority""",
        "late_orders", joins=1,
    )  # fmt: skip


def forecast_revenue(pen: Pen) -> Statement:
    discount = pen.rng.randint(2, 9) / 100
    return pen.done(
        f"""SELECT sum(l_extendedprice * l_discount) AS revenue
FROM lineitem
{conditions(pen.period("l_shipdate"), f"l_discount BETWEEN {discount - 0.01:.2f} AND {discount + 0.01:.2f}", f"l_quantity < {pen.rng.randint(20, 30)}")}""",
        "forecast_revenue",
    )


def shipmode_priority(pen: Pen) -> Statement:
    return pen.done(
        f"""SELECT l_shipmode,
  sum(CASE WHEN o_orderpriority IN ('1-URGENT', '2-HIGH') THEN 1 ELSE 0 END) AS high_line_count,
  sum(CASE WHEN o_orderpriority NOT IN ('1-URGENT', '2-HIGH') THEN 1 ELSE 0 END) AS low_line_count
FROM orders
JOIN lineitem ON o_orderkey = l_orderkey
{conditions(f"l_shipmode {pen.words(MODES)}", "l_commitdate < l_receiptdate", pen.period("l_shipdate"))}
GROUP BY l_shipmode
ORDER BY l_shipmode""",
        "shipmode_priority", joins=1,
    )  # fmt: skip


def order_counts(pen: Pen) -> Statement:
    comment = "" if pen.forget() else "o_comment NOT LIKE '%special%requests%'"
    return pen.done(
        f"""SELECT c_count, count(*) AS custdist
FROM (
  SELECT o_custkey, count(*) AS c_count
  FROM orders
  {conditions(comment, pen.period("o_orderdate"))}
  GROUP BY o_custkey
) c_orders
GROUP BY c_count
ORDER BY custdist DESC, c_count DESC""",
        "order_counts", groups=2, likes=1,
    )  # fmt: skip


def promotion_effect(pen: Pen) -> Statement:
    return pen.done(
        f"""SELECT 100.00 * sum(CASE WHEN p_type LIKE 'PROMO%' THEN l_extendedprice * (1 - l_discount) ELSE 0 END)
  / {REVENUE} AS promo_revenue
FROM lineitem
JOIN part ON l_partkey = p_partkey
{conditions(pen.period("l_shipdate"))}""",
        "promotion_effect", joins=1, likes=1,
    )  # fmt: skip


def top_supplier(pen: Pen) -> Statement:
    return pen.done(
        f"""WITH revenue AS (
  SELECT l_suppkey AS supplier_no, {REVENUE} AS total_revenue
  FROM lineitem
  {conditions(pen.period("l_shipdate"))}
  GROUP BY l_suppkey
)
SELECT s_suppkey, s_name, s_address, s_phone, total_revenue
FROM supplier
JOIN revenue ON s_suppkey = supplier_no
WHERE total_revenue = (SELECT max(total_revenue) FROM revenue)
ORDER BY s_suppkey""",
        "top_supplier", joins=1, groups=1,
    )  # fmt: skip


def idle_customers(pen: Pen) -> Statement:
    codes = "', '".join(str(pen.rng.randint(10, 34)) for _ in range(7))
    return pen.done(
        f"""SELECT substr(c_phone, 1, 2) AS cntrycode, count(*) AS numcust, sum(c_acctbal) AS totacctbal
FROM customer
{conditions(f"substr(c_phone, 1, 2) IN ('{codes}')", f"NOT EXISTS (SELECT 1 FROM orders {conditions('o_custkey = c_custkey', pen.period('o_orderdate'))})")}
GROUP BY substr(c_phone, 1, 2)
ORDER BY cntrycode""",
        "idle_customers", joins=1,
    )  # fmt: skip


def daily_orders(pen: Pen) -> Statement:
    return pen.done(
        f"""SELECT date_trunc('day', o_orderdate) AS day, o_orderpriority, count(*) AS orders, sum(o_totalprice) AS value
FROM orders
{conditions(pen.period("o_orderdate"), f"o_orderpriority {pen.words(PRIORITIES)}")}
GROUP BY 1, 2
ORDER BY 1, 2""",
        "daily_orders",
    )


def repeat_customers(pen: Pen) -> Statement:
    """Pairs of orders of one customer: the width of the window between them multiplies the rows."""
    window = pen.rng.choice((1, 7, 30, 90))
    status = "" if pen.forget() else "a.o_orderpriority = '1-URGENT'"
    return pen.done(
        f"""SELECT date_trunc('month', a.o_orderdate) AS month, count(*) AS pairs, count(DISTINCT a.o_custkey) AS customers
FROM orders a
JOIN orders b ON a.o_custkey = b.o_custkey AND b.o_orderdate > a.o_orderdate
  AND b.o_orderdate <= a.o_orderdate + INTERVAL '{window}' DAY
{conditions(pen.period("a.o_orderdate"), status)}
GROUP BY 1
ORDER BY 1""",
        "repeat_customers", joins=1, distinct=1,
    )  # fmt: skip


REPORTS: tuple[Report, ...] = (
    pricing_summary, cheapest_supplier, shipping_priority, late_orders, local_suppliers, forecast_revenue,
    trade_between_nations, product_profit, returned_items, stock_value, shipmode_priority, order_counts, promotion_effect,
    top_supplier, large_orders, waiting_suppliers, idle_customers, daily_orders, repeat_customers,
)  # fmt: skip
