-- For a source that keeps no household history: today's row, marked as known forever. NOT point-in-time; the dataset says so.
SELECT h.id::text AS entity, timestamptz '1970-01-01 00:00+00' AS valid_from,
       timestamptz '1970-01-01 00:00+00' AS recorded_at, ''::text AS id,
       h.size, h.preferences, h.dietary_restrictions, h.region
FROM households AS h
JOIN (SELECT unnest(string_to_array(current_setting('platform.households'), ','))::uuid AS household_id) AS wanted
  ON h.id = wanted.household_id
