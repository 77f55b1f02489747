-- How many light queries of the train days have which weight, in millionths: whole numbers, so that their sum is the same in
-- whatever order it is taken. Near a threshold (distance below .5) the weight is 1, farther off it falls to the least.
CREATE TEMP TABLE weight_counts AS
SELECT units, COUNT(*) AS queries
FROM (
    SELECT CAST(ROUND(1000000 * CASE
               WHEN q.boundary_distance < 0.5 THEN 1.0
               ELSE GREATEST(p.min_multiplier,
                             p.max_boost - (p.max_boost - p.min_multiplier) * LEAST(q.boundary_distance, 1.0))
           END) AS BIGINT) AS units
    FROM light_queries AS q
    CROSS JOIN parameters AS p
    WHERE p.sample_all OR SUBSTRING(MD5(CONCAT(p.salt, q.queryId)), 17, 13) < p.fraction_threshold
) AS weighted
GROUP BY units
ORDER BY units;
