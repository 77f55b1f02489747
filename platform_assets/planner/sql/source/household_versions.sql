-- For the households asked for: the last version visible at `earliest`, and all that became known from there to `latest`.
-- Version tables only grow, so a re-run years later reads the same rows.
-- Times before the year 1 ('-infinity': since always) have no Arrow value and become its first instant.
SELECT v.household_id::text AS entity, greatest(v.valid_from, timestamptz '0001-01-01 00:00+00') AS valid_from,
       greatest(v.recorded_at, timestamptz '0001-01-01 00:00+00') AS recorded_at,
       ''::text AS id,
       v.size, v.preferences, v.dietary_restrictions, v.region
FROM (SELECT unnest(string_to_array(current_setting('platform.households'), ','))::uuid AS household_id) AS wanted
CROSS JOIN LATERAL (
    (SELECT * FROM household_versions AS known
     WHERE known.household_id = wanted.household_id
       AND known.valid_from <= current_setting('platform.earliest')::timestamptz
       AND known.recorded_at <= current_setting('platform.earliest')::timestamptz
     ORDER BY known.valid_from DESC, known.recorded_at DESC LIMIT 1)
    UNION ALL
    (SELECT * FROM household_versions AS learned
     WHERE learned.household_id = wanted.household_id
       AND learned.valid_from IS NOT NULL AND learned.recorded_at IS NOT NULL  -- greatest() passes nulls over
       AND greatest(learned.valid_from, learned.recorded_at) > current_setting('platform.earliest')::timestamptz
       AND greatest(learned.valid_from, learned.recorded_at) <= current_setting('platform.latest')::timestamptz)
) AS v
