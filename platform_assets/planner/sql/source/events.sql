-- One day of the event log by the time things happened; JSON as text, because the contract is checked by us, row by row.
-- An impossible time (before 1970, after 2199, infinite, null) lies in no calendar: such a row belongs to the day it was recorded
-- on. What has no Arrow value (outside the years 1 to 9999) is moved to the nearest instant that has one.
-- A row is bounded here, where it lies: of JSON above 1 MiB only the beginning is sent, with size and SHA-256 of the whole.
SELECT id, left(event_type, 1000) AS event_type, left(unit_type, 1000) AS unit_type, left(unit_id, 1000) AS unit_id,
       CASE WHEN fits THEN experiments ELSE left(experiments, 10000) END AS experiments,
       CASE WHEN fits THEN context ELSE left(context, 10000) END AS context,
       CASE WHEN fits THEN metrics ELSE left(metrics, 10000) END AS metrics,
       CASE WHEN fits THEN payload ELSE left(payload, 10000) END AS payload,
       least(greatest("timestamp", timestamptz '0001-01-01 00:00+00'), timestamptz '9999-12-31 00:00+00') AS "timestamp",
       least(greatest(created_at, timestamptz '0001-01-01 00:00+00'), timestamptz '9999-12-31 00:00+00') AS created_at,
       CASE WHEN NOT fits THEN (
           SELECT string_agg(format('%s has %s bytes, sha256 %s', part.name, octet_length(part.text),
                                    encode(sha256(convert_to(part.text, 'UTF8')), 'hex')), '; ' ORDER BY part.name)
           FROM (VALUES ('experiments', experiments), ('context', context), ('metrics', metrics), ('payload', payload))
               AS part (name, text)
           WHERE octet_length(part.text) > 1048576
       ) END AS oversized
FROM (
    SELECT *, greatest(octet_length(experiments), octet_length(context), octet_length(metrics), octet_length(payload), 0)
              <= 1048576 AS fits
    FROM (
        SELECT id::text AS id, event_type::text AS event_type, unit_type::text AS unit_type, unit_id::text AS unit_id,
               experiments::text AS experiments, context::text AS context, metrics::text AS metrics,
               payload::text AS payload, "timestamp", created_at
        FROM (
            SELECT * FROM exp.events
            WHERE "timestamp" >= greatest(current_setting('platform.day_start')::timestamptz, timestamptz '1970-01-01 00:00+00')
              AND "timestamp" < least(current_setting('platform.day_end')::timestamptz, timestamptz '2200-01-01 00:00+00')
            UNION ALL
            SELECT * FROM exp.events
            WHERE ("timestamp" >= timestamptz '1970-01-01 00:00+00' AND "timestamp" < timestamptz '2200-01-01 00:00+00') IS NOT TRUE
              AND created_at >= current_setting('platform.day_start')::timestamptz
              AND created_at < current_setting('platform.day_end')::timestamptz
        ) AS placed
        OFFSET 0  -- a fence: without it each use below would render the JSON once more
    ) AS rendered
    OFFSET 0
) AS measured
