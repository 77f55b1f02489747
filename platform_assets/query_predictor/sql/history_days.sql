-- What the queries of each user, catalog, schema and template cost, by the day on which it is known: `known_day` (days since
-- 1970-01-01, UTC) is the first day at whose 00:00, less the delay, a query had ended, wherever the row of it lies; a day's own
-- queries are never among it. Costs are summed up as whole millionths of log1p, so that sums are the same in any order. Whose
-- catalog or schema is not told stand together under the empty name.
CREATE TEMP TABLE history_days AS
SELECT CASE
           WHEN GROUPING(e.template) = 0 THEN 'template'
           WHEN GROUPING(e.inner_name) = 0 THEN 'schema'
           WHEN GROUPING(e.catalog) = 0 THEN 'catalog'
           WHEN GROUPING(e.sender) = 0 THEN 'user'
           ELSE 'all'
       END AS kind,
       COALESCE(e.template, e.catalog, e.sender, '') AS name,
       COALESCE(e.inner_name, '') AS inner_name,
       e.known_day,
       COUNT(*) AS queries,
       SUM(e.heavy) AS heavy,
       SUM(e.failed) AS failed,
       SUM(e.cpu_units) AS cpu_units,
       SUM(e.memory_units) AS memory_units,
       MAX(e.cpu) AS largest_cpu,
       MAX(e.last) AS last
FROM (
    SELECT q."user" AS sender, COALESCE(q.catalog, '') AS catalog, COALESCE(q."schema", '') AS inner_name, q.template,
           q.cpuTime AS cpu,
           CAST(CAST(q.is_heavy AS BOOLEAN) AS BIGINT) AS heavy,
           CASE
               WHEN q.errorName IS NULL THEN 0
               WHEN ARRAY_CONTAINS(STRING_SPLIT(p.resource_errors, ','), q.errorName) THEN 1
               ELSE 0
           END AS failed,
           CAST(ROUND(1000000 * LN(1 + q.cpuTime)) AS BIGINT) AS cpu_units,
           CAST(ROUND(1000000 * LN(1 + q.peakUserMemoryBytes / 1073741824.0)) AS BIGINT) AS memory_units,
           {'ended': q.endTime, 'cpu': q.cpuTime} AS last,
           GREATEST(
               DATE_DIFF('day', p.epoch, CAST(q.createTime AS DATE)) + 1,
               DATE_DIFF('day', p.epoch, CAST(q.endTime + p.delay_seconds * INTERVAL '1' SECOND AS DATE))
                   + CASE
                         WHEN q.endTime + p.delay_seconds * INTERVAL '1' SECOND
                              > DATE_TRUNC('day', q.endTime + p.delay_seconds * INTERVAL '1' SECOND) THEN 1
                         ELSE 0
                     END
           ) AS known_day
    FROM labelled_queries AS q
    CROSS JOIN parameters AS p
) AS e
GROUP BY GROUPING SETS (
    (e.known_day), (e.sender, e.known_day), (e.catalog, e.known_day), (e.catalog, e.inner_name, e.known_day),
    (e.template, e.known_day)
)
ORDER BY kind, known_day, name, inner_name;
