-- For the households asked for: the last snapshot visible at `earliest`, and all that became known from there to `latest`.
-- Times before the year 1 ('-infinity': since always) have no Arrow value and become its first instant.
-- Of a pantry above 1 MiB only its size is sent.
SELECT v.entity, greatest(v.snapshot_time, timestamptz '0001-01-01 00:00+00') AS valid_from,
       greatest(v.recorded_at, timestamptz '0001-01-01 00:00+00') AS recorded_at, v.id,
       CASE WHEN octet_length(v.items) <= 1048576 THEN v.items END AS items,
       CASE WHEN octet_length(v.items) > 1048576 THEN format('items has %s bytes', octet_length(v.items)) END AS oversized
FROM (
    SELECT p.household_id::text AS entity, p.snapshot_time, p.recorded_at, p.id::text AS id, p.items::text AS items
    FROM (SELECT unnest(string_to_array(current_setting('platform.households'), ','))::uuid AS household_id) AS wanted
    CROSS JOIN LATERAL (
        (SELECT * FROM pantry_snapshots AS known
         WHERE known.household_id = wanted.household_id
           AND known.snapshot_time <= current_setting('platform.earliest')::timestamptz
           AND known.recorded_at <= current_setting('platform.earliest')::timestamptz
         ORDER BY known.snapshot_time DESC, known.recorded_at DESC, known.id::text COLLATE "C" DESC LIMIT 1)
        UNION ALL
        (SELECT * FROM pantry_snapshots AS learned
         WHERE learned.household_id = wanted.household_id
           AND learned.snapshot_time IS NOT NULL AND learned.recorded_at IS NOT NULL  -- greatest() passes nulls over
           AND greatest(learned.snapshot_time, learned.recorded_at) > current_setting('platform.earliest')::timestamptz
           AND greatest(learned.snapshot_time, learned.recorded_at) <= current_setting('platform.latest')::timestamptz)
    ) AS p
    OFFSET 0  -- a fence, as in events.sql
) AS v
