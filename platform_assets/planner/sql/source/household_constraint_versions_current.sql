-- For a source that keeps no history of constraints: today's row, marked as known forever. NOT point-in-time.
-- A budget that is not a finite number is no budget: null.
SELECT c.household_id::text AS entity, timestamptz '1970-01-01 00:00+00' AS valid_from,
       timestamptz '1970-01-01 00:00+00' AS recorded_at, ''::text AS id,
       CASE WHEN c.budget::float8 NOT IN ('NaN', 'Infinity', '-Infinity') THEN c.budget::float8 END AS budget, c.max_prep_time, c.excluded
FROM household_constraints AS c
JOIN (SELECT unnest(string_to_array(current_setting('platform.households'), ','))::uuid AS household_id) AS wanted
  ON c.household_id = wanted.household_id
