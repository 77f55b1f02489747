-- A day's typed queries, one row per query id. Of the rows of one id the first in the source's order stays; one that says the
-- same again is a copy and is left out, one that says something else is quarantined. Only ids that occur more than once are
-- numbered: the day itself streams through, whatever its size.
CREATE TEMP TABLE repeated AS
SELECT queryId
FROM typed_queries
GROUP BY queryId
HAVING COUNT(*) > 1;

-- `occurrence` counts the rows that say the same, `version` tells whether an earlier row of the id said something else.
CREATE TEMP TABLE numbered AS
SELECT t.*,
       ROW_NUMBER() OVER (
           PARTITION BY t.queryId, t.textHash, t."user", t.source, t.catalog, t."schema", t.clientInfo, t.queryType,
                        t.queryState, t.errorName, t.errorType, t.cpuTime, t.peakUserMemoryBytes, t.createTime, t.endTime
           ORDER BY t.position
       ) AS occurrence,
       ROW_NUMBER() OVER (PARTITION BY t.queryId ORDER BY t.position) AS version
FROM typed_queries AS t
JOIN repeated AS r ON r.queryId = t.queryId;

CREATE TEMP TABLE queries AS
SELECT t.queryId, t.query, t."user", t.source, t.catalog, t."schema", t.clientInfo, t.queryType, t.queryState, t.errorName,
       t.errorType, t.cpuTime, t.peakUserMemoryBytes, t.createTime, t.endTime, t.textHash
FROM typed_queries AS t
LEFT JOIN numbered AS n ON n.queryId = t.queryId AND n.position = t.position
WHERE n.queryId IS NULL OR n.version = 1
ORDER BY t.createTime, t.queryId;

CREATE TEMP TABLE quarantined_queries AS
SELECT queryId, "row", rule, reason, remedy
FROM (
    SELECT queryId, "row", rule, reason, remedy
    FROM refused_queries
    UNION ALL
    SELECT n.queryId,
           CAST(TO_JSON({'queryId': n.queryId, 'query': SUBSTRING(n.query, 1, p.text_limit), 'textHash': n.textHash,
                         'user': n."user", 'source': n.source, 'catalog': n.catalog, 'schema': n."schema",
                         'clientInfo': n.clientInfo, 'queryType': n.queryType, 'queryState': n.queryState,
                         'errorName': n.errorName, 'errorType': n.errorType, 'cpuTime': n.cpuTime,
                         'peakUserMemoryBytes': n.peakUserMemoryBytes, 'createTime': CAST(n.createTime AS VARCHAR),
                         'endTime': CAST(n.endTime AS VARCHAR)}) AS VARCHAR) AS "row",
           'conflicting_query' AS rule, CONCAT('row ', CAST(n.version AS VARCHAR), ' of its id differs from the first') AS reason,
           p.remedy
    FROM numbered AS n
    CROSS JOIN parameters AS p
    WHERE n.version > 1 AND n.occurrence = 1
) AS q
ORDER BY rule, queryId, "row";
