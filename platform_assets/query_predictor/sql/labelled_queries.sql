-- A day's queries with label, reason and distance, parted into those kept and those dropped, each for the first reason that
-- applies: duplicate, blank, query_type, curated, censored. A list comes as one text, its items parted by commas; an error's name
-- is looked up among the items, so that no part of a name counts. Only ids that occur more than once are numbered.
CREATE TEMP TABLE repeated AS
SELECT queryId
FROM queries
GROUP BY queryId
HAVING COUNT(*) > 1;

CREATE TEMP TABLE numbered AS
SELECT q.*,
       ROW_NUMBER() OVER (
           PARTITION BY q.queryId ORDER BY q.createTime, q.endTime, q.textHash, q.cpuTime, q.peakUserMemoryBytes, q."user"
       ) AS occurrence
FROM queries AS q
JOIN repeated AS r ON r.queryId = q.queryId;

-- A pattern is tried once for each different clientInfo, not once a row.
CREATE TEMP TABLE curated_clients AS
SELECT c.clientInfo
FROM (SELECT DISTINCT clientInfo FROM queries WHERE NOT clientInfo IS NULL) AS c
CROSS JOIN parameters AS p
WHERE p.is_curated AND REGEXP_MATCHES(c.clientInfo, p.curated_pattern);

CREATE TEMP TABLE judged_queries AS
SELECT f.queryId, f.query, f."user", f.source, f.catalog, f."schema", f.clientInfo, f.queryType, f.queryState, f.errorName,
       f.errorType, f.cpuTime, f.peakUserMemoryBytes, f.createTime, f.endTime, f.textHash,
       NOT f.heavy_reason IS NULL AS is_heavy, f.heavy_reason, f.boundary_distance, f.template, f.category,
       CASE
           WHEN f.occurrence > 1 THEN 'duplicate'
           WHEN f.category = 'blank' THEN 'blank'
           WHEN f.is_dropped_type THEN 'query_type'
           WHEN f.is_uncurated THEN 'curated'
           WHEN f.is_censored AND f.heavy_reason IS NULL THEN 'censored'
       END AS drop_reason
FROM (
    SELECT q.*, t.template, t.category,
           CASE
               WHEN q.cpuTime >= p.cpu_threshold THEN 'cpu'
               WHEN q.peakUserMemoryBytes > p.memory_threshold THEN 'memory'
               WHEN q.errorName IS NULL THEN NULL
               WHEN ARRAY_CONTAINS(STRING_SPLIT(p.heavy_errors, ','), q.errorName) THEN 'error'
           END AS heavy_reason,
           LEAST(ABS(q.cpuTime - p.cpu_threshold) / p.cpu_threshold,
                 ABS(q.peakUserMemoryBytes - p.memory_threshold) / p.memory_threshold) AS boundary_distance,
           CASE WHEN q.errorName IS NULL THEN FALSE
                ELSE ARRAY_CONTAINS(STRING_SPLIT(p.censored_errors, ','), q.errorName) END AS is_censored,
           CASE WHEN q.queryType IS NULL THEN NOT p.keep_null_query_types
                ELSE ARRAY_CONTAINS(STRING_SPLIT(p.dropped_query_types, ','), q.queryType) END AS is_dropped_type,
           p.is_curated AND c.clientInfo IS NULL AS is_uncurated
    FROM (
        SELECT u.*, 1 AS occurrence
        FROM queries AS u
        LEFT JOIN repeated AS r ON r.queryId = u.queryId
        WHERE r.queryId IS NULL
        UNION ALL
        SELECT * FROM numbered
    ) AS q
    CROSS JOIN parameters AS p
    JOIN texts AS t ON t.textHash = q.textHash
    LEFT JOIN curated_clients AS c ON c.clientInfo = q.clientInfo
) AS f;

CREATE TEMP TABLE light_queries AS
SELECT queryId, query, "user", source, catalog, "schema", clientInfo, queryType, queryState, errorName, errorType, cpuTime,
       peakUserMemoryBytes, createTime, endTime, textHash, is_heavy, heavy_reason, boundary_distance, template, category
FROM judged_queries
WHERE drop_reason IS NULL AND NOT is_heavy
ORDER BY createTime, queryId;

CREATE TEMP TABLE heavy_queries AS
SELECT queryId, query, "user", source, catalog, "schema", clientInfo, queryType, queryState, errorName, errorType, cpuTime,
       peakUserMemoryBytes, createTime, endTime, textHash, is_heavy, heavy_reason, boundary_distance, template, category
FROM judged_queries
WHERE drop_reason IS NULL AND is_heavy
ORDER BY createTime, queryId;

CREATE TEMP TABLE dropped_queries AS
SELECT *
FROM judged_queries
WHERE NOT drop_reason IS NULL
ORDER BY drop_reason, createTime, queryId;
