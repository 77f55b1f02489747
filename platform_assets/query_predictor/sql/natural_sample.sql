-- Validation and test days, as they were: no row is weighed. With a fraction, the ids whose hash is below it (digits 17-29).
CREATE TEMP TABLE sample AS
SELECT n.queryId, n.query, n."user", n.source, n.catalog, n."schema", n.clientInfo, n.queryType, n.queryState, n.errorName,
       n.errorType, n.cpuTime, n.peakUserMemoryBytes, n.createTime, n.endTime, n.textHash,
       CAST(n.is_heavy AS BOOLEAN) AS is_heavy, n.heavy_reason, n.boundary_distance, n.template, n.category,
       CAST(1 AS DOUBLE) AS inclusion_probability, CAST(1 AS DOUBLE) AS weight
FROM labelled_queries AS n
CROSS JOIN parameters AS p
WHERE p.sample_all OR SUBSTRING(MD5(CONCAT(p.salt, n.queryId)), 17, 13) < p.fraction_threshold
ORDER BY n.createTime, n.queryId;
