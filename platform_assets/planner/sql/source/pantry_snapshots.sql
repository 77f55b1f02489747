-- For the households asked for: the last snapshot visible at `earliest`, and all that became known from there to `latest`.
SELECT p.household_id::text AS entity, p.snapshot_time AS valid_from, p.recorded_at, p.id::text AS id,
       p.items::text AS items
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
       AND greatest(learned.snapshot_time, learned.recorded_at) > current_setting('platform.earliest')::timestamptz
       AND greatest(learned.snapshot_time, learned.recorded_at) <= current_setting('platform.latest')::timestamptz)
) AS p
