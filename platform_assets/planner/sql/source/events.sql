-- One day of the event log by the time things happened; JSON as text, because the contract is checked by us, row by row.
-- Timestamps outside the years 1 to 9999 (infinity included) have no Arrow value: they are moved to the nearest one.
SELECT id::text AS id, event_type, unit_type, unit_id::text AS unit_id, experiments::text AS experiments,
       context::text AS context, metrics::text AS metrics, payload::text AS payload, "timestamp",
       least(greatest(created_at, timestamptz '0001-01-01 00:00+00'), timestamptz '9999-12-31 00:00+00') AS created_at
FROM exp.events
WHERE "timestamp" >= current_setting('platform.day_start')::timestamptz
  AND "timestamp" < current_setting('platform.day_end')::timestamptz
