-- Every version of every recipe that was recorded before `recorded_before`. The table only grows, so a re-run years later
-- reads the same rows. Times before the year 1 ('-infinity': since always) have no Arrow value and become its first instant.
SELECT id, title, cuisine, main_protein, ingredients::text AS ingredients, tags, allergens, diets, prep_time_min,
       cost_per_serving, servings, greatest(valid_from, timestamptz '0001-01-01 00:00+00') AS valid_from,
       greatest(recorded_at, timestamptz '0001-01-01 00:00+00') AS recorded_at
FROM recipes
WHERE recorded_at < current_setting('platform.recorded_before')::timestamptz
ORDER BY id COLLATE "C", valid_from, recorded_at
