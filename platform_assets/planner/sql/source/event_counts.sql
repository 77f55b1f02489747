-- What the source holds per day: the late-data sensor and the reconciliation check compare it with the manifests.
SELECT to_char("timestamp" AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, count(*) AS source_rows,
       to_char(max(least(created_at, timestamptz '9999-12-31 00:00+00')) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS source_watermark
FROM exp.events
WHERE "timestamp" >= current_setting('platform.day_start')::timestamptz
  AND "timestamp" < current_setting('platform.day_end')::timestamptz
GROUP BY 1 ORDER BY 1
