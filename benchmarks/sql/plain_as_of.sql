-- What enriched_plans.sql would be without recording times: three ASOF joins that carry the wide columns along. DuckDB.
SELECT a.* EXCLUDE (meals, exclusion, acceptance_recorded_at, generation_recorded_at),
       {'id': household_id, 'size': h.size, 'preferences': h.preferences, 'restrictions': h.dietary_restrictions,
        'region': h.region} AS household,
       {'budget': c.budget, 'max_prep_time': c.max_prep_time, 'excluded_ingredients': c.excluded} AS constraints,
       {'items': s.items} AS pantry,
       recent_plans[1] AS previous_plan, {'meals': meals} AS accepted_plan,
       h.valid_from AS household_valid_from, h.recorded_at AS household_recorded_at,
       c.valid_from AS constraints_valid_from, c.recorded_at AS constraints_recorded_at,
       s.valid_from AS pantry_valid_from, s.recorded_at AS pantry_recorded_at
FROM accepted_plans AS a
ASOF LEFT JOIN household_versions AS h ON a.household_id = h.entity AND a.generated_at >= h.valid_from
ASOF LEFT JOIN household_constraint_versions AS c ON a.household_id = c.entity AND a.generated_at >= c.valid_from
ASOF LEFT JOIN pantry_versions AS s ON a.household_id = s.entity AND a.generated_at >= s.valid_from
WHERE a.exclusion IS NULL
