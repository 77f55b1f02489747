"""Fixed reports over many tables, in the manner of the TPC-H queries: one function a family, parameters drawn by the pen.

What does not belong here: reports over one fact table, and the list of all, which are in `reports`.
"""

from __future__ import annotations

from platform_assets.simulators.trino_cluster.writing import (
    COLOURS,
    METALS,
    NATIONS,
    REGIONS,
    SEGMENTS,
    Pen,
    Statement,
    conditions,
)

REVENUE = "sum(l_extendedprice * (1 - l_discount))"


def cheapest_supplier(pen: Pen) -> Statement:
    pen.days = 1.0
    region = pen.rng.choice(REGIONS)
    size = "" if pen.forget() else f"p_size = {pen.rng.randint(1, 50)}"
    return pen.done(
        f"""WITH offers AS (
  SELECT ps_partkey, ps_suppkey, ps_supplycost, min(ps_supplycost) OVER (PARTITION BY ps_partkey) AS cheapest
  FROM partsupp
  JOIN supplier ON s_suppkey = ps_suppkey
  JOIN nation ON n_nationkey = s_nationkey
  JOIN region ON r_regionkey = n_regionkey
  WHERE r_name = '{region}'
)
SELECT s_acctbal, s_name, p_partkey, p_mfgr, s_phone
FROM offers
JOIN part ON p_partkey = ps_partkey
JOIN supplier ON s_suppkey = ps_suppkey
{conditions(size, f"p_type LIKE '%{pen.rng.choice(METALS)}'", "ps_supplycost = cheapest")}
ORDER BY s_acctbal DESC, s_name, p_partkey
LIMIT 100""",
        "cheapest_supplier", joins=5, groups=2, likes=1,
    )  # fmt: skip


def shipping_priority(pen: Pen) -> Statement:
    segment = "" if pen.forget() else f"c_mktsegment = '{pen.rng.choice(SEGMENTS)}'"
    return pen.done(
        f"""SELECT l_orderkey, {REVENUE} AS revenue, o_orderdate, o_shippriority
FROM customer
JOIN orders ON c_custkey = o_custkey
JOIN lineitem ON l_orderkey = o_orderkey
{conditions(pen.period("o_orderdate"), segment)}
GROUP BY l_orderkey, o_orderdate, o_shippriority
ORDER BY revenue DESC, o_orderdate
LIMIT {pen.rng.choice((10, 20, 100))}""",
        "shipping_priority", joins=2, groups=3,
    )  # fmt: skip


def local_suppliers(pen: Pen) -> Statement:
    region = "" if pen.forget() else f"r_name {pen.words(REGIONS, 2)}"
    return pen.done(
        f"""SELECT n_name, {REVENUE} AS revenue
FROM orders
JOIN lineitem ON l_orderkey = o_orderkey
JOIN customer ON c_custkey = o_custkey
JOIN supplier ON s_suppkey = l_suppkey AND s_nationkey = c_nationkey
JOIN nation ON n_nationkey = s_nationkey
JOIN region ON r_regionkey = n_regionkey
{conditions(pen.period("o_orderdate"), region)}
GROUP BY n_name
ORDER BY revenue DESC""",
        "local_suppliers", joins=5,
    )  # fmt: skip


def trade_between_nations(pen: Pen) -> Statement:
    one, other = pen.rng.sample(NATIONS, 2)
    return pen.done(
        f"""SELECT supp_nation, cust_nation, l_year, sum(volume) AS revenue
FROM (
  SELECT n1.n_name AS supp_nation, n2.n_name AS cust_nation, year(l_shipdate) AS l_year,
    l_extendedprice * (1 - l_discount) AS volume
  FROM lineitem
  JOIN supplier ON s_suppkey = l_suppkey
  JOIN orders ON o_orderkey = l_orderkey
  JOIN customer ON c_custkey = o_custkey
  JOIN nation n1 ON s_nationkey = n1.n_nationkey
  JOIN nation n2 ON c_nationkey = n2.n_nationkey
  {conditions(f"((n1.n_name = '{one}' AND n2.n_name = '{other}') OR (n1.n_name = '{other}' AND n2.n_name = '{one}'))", pen.period("l_shipdate"))}
) shipping
GROUP BY supp_nation, cust_nation, l_year
ORDER BY supp_nation, cust_nation, l_year""",
        "trade_between_nations", joins=5,
    )  # fmt: skip


def product_profit(pen: Pen) -> Statement:
    colour = "" if pen.forget() else f"p_name LIKE '%{pen.rng.choice(COLOURS)}%'"
    return pen.done(
        f"""SELECT n_name AS nation, year(o_orderdate) AS o_year,
  sum(l_extendedprice * (1 - l_discount) - ps_supplycost * l_quantity) AS sum_profit
FROM lineitem
JOIN part ON p_partkey = l_partkey
JOIN partsupp ON ps_partkey = l_partkey AND ps_suppkey = l_suppkey
JOIN orders ON o_orderkey = l_orderkey
JOIN supplier ON s_suppkey = l_suppkey
JOIN nation ON n_nationkey = s_nationkey
{conditions(colour, pen.period("o_orderdate"))}
GROUP BY n_name, year(o_orderdate)
ORDER BY nation, o_year DESC""",
        "product_profit", joins=5, likes=1,
    )  # fmt: skip


def returned_items(pen: Pen) -> Statement:
    flag = "" if pen.forget() else "l_returnflag = 'R'"
    return pen.done(
        f"""SELECT c_custkey, c_name, {REVENUE} AS revenue, c_acctbal, n_name, c_phone
FROM customer
JOIN orders ON o_custkey = c_custkey
JOIN lineitem ON l_orderkey = o_orderkey
JOIN nation ON n_nationkey = c_nationkey
{conditions(pen.period("o_orderdate"), flag)}
GROUP BY c_custkey, c_name, c_acctbal, c_phone, n_name
ORDER BY revenue DESC
LIMIT 20""",
        "returned_items", joins=3, groups=2,
    )  # fmt: skip


def stock_value(pen: Pen) -> Statement:
    pen.days = 1.0
    nation = "" if pen.forget() else f"n_name = '{pen.rng.choice(NATIONS)}'"
    return pen.done(
        f"""SELECT ps_partkey, sum(ps_supplycost * ps_availqty) AS value
FROM partsupp
JOIN supplier ON ps_suppkey = s_suppkey
JOIN nation ON s_nationkey = n_nationkey
{conditions(nation)}
GROUP BY ps_partkey
HAVING sum(ps_supplycost * ps_availqty) > {pen.rng.randrange(10, 90) * 100_000}
ORDER BY value DESC""",
        "stock_value", joins=2, groups=2,
    )  # fmt: skip


def large_orders(pen: Pen) -> Statement:
    """The short date filter is inside: without it every order is grouped before any is dropped."""
    return pen.done(
        f"""SELECT c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice, sum(l_quantity) AS quantity
FROM customer
JOIN orders ON c_custkey = o_custkey
JOIN lineitem ON o_orderkey = l_orderkey
WHERE o_orderkey IN (
  SELECT l_orderkey FROM lineitem
  {conditions(pen.period("l_shipdate"))}
  GROUP BY l_orderkey
  HAVING sum(l_quantity) > {pen.rng.randint(200, 315)}
)
GROUP BY c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice
ORDER BY o_totalprice DESC, o_orderdate
LIMIT 100""",
        "large_orders", joins=3, groups=3,
    )  # fmt: skip


def waiting_suppliers(pen: Pen) -> Statement:
    nation = "" if pen.forget() else f"n_name = '{pen.rng.choice(NATIONS)}'"
    return pen.done(
        f"""SELECT s_name, count(*) AS numwait
FROM supplier
JOIN lineitem l1 ON s_suppkey = l1.l_suppkey
JOIN orders ON o_orderkey = l1.l_orderkey
JOIN nation ON s_nationkey = n_nationkey
{conditions("o_orderstatus = 'F'", "l1.l_receiptdate > l1.l_commitdate", pen.period("o_orderdate"), nation, "EXISTS (SELECT 1 FROM lineitem l2 WHERE l2.l_orderkey = l1.l_orderkey AND l2.l_suppkey <> l1.l_suppkey)")}
GROUP BY s_name
ORDER BY numwait DESC, s_name
LIMIT 100""",
        "waiting_suppliers", joins=4, groups=1,
    )  # fmt: skip
