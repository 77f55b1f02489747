-- What the source holds per day: the late-data sensor and the reconciliation check compare it with the manifests.
-- A row belongs to a day as in events.sql.
SELECT to_char(placed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, count(*) AS source_rows,
       to_char(max(least(created_at, timestamptz '9999-12-31 00:00+00')) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS source_watermark
FROM (
    SELECT "timestamp" AS placed_at, created_at FROM exp.events
    WHERE "timestamp" >= greatest(current_setting('platform.day_start')::timestamptz, timestamptz '1970-01-01 00:00+00')
      AND "timestamp" < least(current_setting('platform.day_end')::timestamptz, timestamptz '2200-01-01 00:00+00')
    UNION ALL
    SELECT created_at AS placed_at, created_at FROM exp.events
    WHERE ("timestamp" >= timestamptz '1970-01-01 00:00+00' AND "timestamp" < timestamptz '2200-01-01 00:00+00') IS NOT TRUE
      AND created_at >= current_setting('platform.day_start')::timestamptz
      AND created_at < current_setting('platform.day_end')::timestamptz
) AS placed
GROUP BY 1 ORDER BY 1
