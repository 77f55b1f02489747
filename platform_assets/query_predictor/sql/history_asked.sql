-- For each asked row what was known of its user, catalog, schema and template, and of all, at 00:00 of its day. Only keys that
-- are asked for are summed up, each once a day; what was never seen stays null.
CREATE TEMP TABLE asked_keys AS
SELECT kind, name, inner_name, day
FROM (
    SELECT 'user' AS kind, "user" AS name, '' AS inner_name, day FROM asked
    UNION ALL
    SELECT 'catalog' AS kind, catalog AS name, '' AS inner_name, day FROM asked
    UNION ALL
    SELECT 'schema' AS kind, catalog AS name, "schema" AS inner_name, day FROM asked
    UNION ALL
    SELECT 'template' AS kind, template AS name, '' AS inner_name, day FROM asked
    UNION ALL
    SELECT 'all' AS kind, '' AS name, '' AS inner_name, day FROM asked
) AS keys
GROUP BY kind, name, inner_name, day;

CREATE TEMP TABLE known AS
SELECT k.kind, k.name, k.inner_name, k.day, CAST(SUM(d.queries) AS BIGINT) AS queries, CAST(SUM(d.heavy) AS BIGINT) AS heavy,
       CAST(SUM(d.failed) AS BIGINT) AS failed, CAST(SUM(d.cpu_units) AS BIGINT) AS cpu_units,
       CAST(SUM(d.memory_units) AS BIGINT) AS memory_units, MAX(d.largest_cpu) AS largest_cpu, MAX(d.last) AS last
FROM history_days AS d
JOIN asked_keys AS k ON k.kind = d.kind AND k.name = d.name AND k.inner_name = d.inner_name
CROSS JOIN parameters AS p
WHERE d.known_day <= k.day AND d.known_day > k.day - p.window_days
GROUP BY k.kind, k.name, k.inner_name, k.day;

CREATE TEMP TABLE asked_history AS
SELECT a.row,
       g.queries AS all_queries, g.heavy AS all_heavy, g.failed AS all_failed,
       u.queries AS user_queries, u.heavy AS user_heavy, u.failed AS user_failed, u.cpu_units AS user_cpu_units,
       u.memory_units AS user_memory_units, u.largest_cpu AS user_largest_cpu,
       c.queries AS catalog_queries, c.heavy AS catalog_heavy, c.cpu_units AS catalog_cpu_units,
       c.memory_units AS catalog_memory_units,
       s.queries AS schema_queries, s.heavy AS schema_heavy, s.cpu_units AS schema_cpu_units,
       t.queries AS template_queries, t.heavy AS template_heavy, t.last.cpu AS template_last_cpu
FROM asked AS a
LEFT JOIN (SELECT * FROM known WHERE kind = 'all') AS g ON g.day = a.day
LEFT JOIN (SELECT * FROM known WHERE kind = 'user') AS u ON u.day = a.day AND u.name = a."user"
LEFT JOIN (SELECT * FROM known WHERE kind = 'catalog') AS c ON c.day = a.day AND c.name = a.catalog
LEFT JOIN (SELECT * FROM known WHERE kind = 'schema') AS s
       ON s.day = a.day AND s.name = a.catalog AND s.inner_name = a."schema"
LEFT JOIN (SELECT * FROM known WHERE kind = 'template') AS t ON t.day = a.day AND t.name = a.template
ORDER BY a.row;
