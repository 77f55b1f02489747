-- The train part: every heavy query, and each light one with its own probability. A query is drawn when the hash of its id is
-- below the threshold of its weight, both as hexadecimal digits: the draw looks at nothing but the id, and is the same for any
-- number of files or threads. Digits 1-13 of the hash draw the sample, digits 17-29 the fraction that is used at all.
CREATE TEMP TABLE train AS
SELECT queryId, query, "user", source, catalog, "schema", clientInfo, queryType, queryState, errorName, errorType, cpuTime,
       peakUserMemoryBytes, createTime, endTime, textHash, is_heavy, heavy_reason, boundary_distance, template, category,
       inclusion_probability, weight
FROM (
    SELECT q.queryId, q.query, q."user", q.source, q.catalog, q."schema", q.clientInfo, q.queryType, q.queryState, q.errorName,
           q.errorType, q.cpuTime, q.peakUserMemoryBytes, q.createTime, q.endTime, q.textHash, FALSE AS is_heavy,
           q.heavy_reason, q.boundary_distance, q.template, q.category, i.inclusion_probability, i.weight
    FROM (
        SELECT l.*, MD5(CONCAT(p.salt, l.queryId)) AS draw, p.sample_all, p.fraction_threshold,
               CAST(ROUND(1000000 * CASE
                   WHEN l.boundary_distance < 0.5 THEN 1.0
                   ELSE GREATEST(p.min_multiplier,
                                 p.max_boost - (p.max_boost - p.min_multiplier) * LEAST(l.boundary_distance, 1.0))
               END) AS BIGINT) AS units
        FROM light_queries AS l
        CROSS JOIN parameters AS p
    ) AS q
    JOIN inclusion AS i ON i.units = q.units
    WHERE SUBSTRING(q.draw, 1, 13) < i.threshold AND (q.sample_all OR SUBSTRING(q.draw, 17, 13) < q.fraction_threshold)
    UNION ALL
    SELECT h.queryId, h.query, h."user", h.source, h.catalog, h."schema", h.clientInfo, h.queryType, h.queryState, h.errorName,
           h.errorType, h.cpuTime, h.peakUserMemoryBytes, h.createTime, h.endTime, h.textHash, TRUE AS is_heavy,
           h.heavy_reason, h.boundary_distance, h.template, h.category, CAST(1 AS DOUBLE) AS inclusion_probability,
           p.heavy_weight AS weight
    FROM heavy_queries AS h
    CROSS JOIN parameters AS p
    WHERE p.sample_all OR SUBSTRING(MD5(CONCAT(p.salt, h.queryId)), 17, 13) < p.fraction_threshold
) AS drawn
ORDER BY createTime, queryId;
