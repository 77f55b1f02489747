-- What is known at 00:00 of one day: the days up to it, back to where its window begins, summed up per key.
CREATE TEMP TABLE known AS
SELECT d.kind, d.name, d.inner_name, SUM(d.queries) AS queries, SUM(d.heavy) AS heavy, SUM(d.failed) AS failed,
       SUM(d.cpu_units) AS cpu_units, SUM(d.memory_units) AS memory_units, MAX(d.largest_cpu) AS largest_cpu, MAX(d.last) AS last
FROM history_days AS d
CROSS JOIN parameters AS p
WHERE d.known_day <= p.day AND d.known_day > p.day - p.window_days
GROUP BY d.kind, d.name, d.inner_name;

CREATE TEMP TABLE users AS
SELECT name, CAST(queries AS BIGINT) AS queries, CAST(heavy AS BIGINT) AS heavy, CAST(failed AS BIGINT) AS failed,
       CAST(cpu_units AS BIGINT) AS cpu_units, CAST(memory_units AS BIGINT) AS memory_units, largest_cpu
FROM known
WHERE kind = 'user'
ORDER BY name;

CREATE TEMP TABLE catalogs AS
SELECT name, CAST(queries AS BIGINT) AS queries, CAST(heavy AS BIGINT) AS heavy, CAST(cpu_units AS BIGINT) AS cpu_units,
       CAST(memory_units AS BIGINT) AS memory_units
FROM known
WHERE kind = 'catalog'
ORDER BY name;

CREATE TEMP TABLE schemas AS
SELECT name, inner_name, CAST(queries AS BIGINT) AS queries, CAST(heavy AS BIGINT) AS heavy,
       CAST(cpu_units AS BIGINT) AS cpu_units
FROM known
WHERE kind = 'schema'
ORDER BY name, inner_name;

CREATE TEMP TABLE templates AS
SELECT name, CAST(queries AS BIGINT) AS queries, CAST(heavy AS BIGINT) AS heavy, last.cpu AS last_cpu
FROM known
WHERE kind = 'template'
ORDER BY name;

CREATE TEMP TABLE totals AS
SELECT CAST(COALESCE(SUM(queries), 0) AS BIGINT) AS queries, CAST(COALESCE(SUM(heavy), 0) AS BIGINT) AS heavy,
       CAST(COALESCE(SUM(failed), 0) AS BIGINT) AS failed
FROM known
WHERE kind = 'all';
