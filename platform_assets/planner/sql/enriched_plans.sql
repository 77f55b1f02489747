-- Accepted plans joined to what was known of household, constraints and pantry at the generation time.
-- Keys are joined as of first, wide columns are fetched once by key afterwards.
CREATE TEMP TABLE requests AS
SELECT household_id AS entity, generated_at AS asked_at
FROM accepted_plans
WHERE exclusion IS NULL;

CREATE TEMP TABLE household_at AS
SELECT entity, asked_at, valid_from, recorded_at FROM as_of('requests', 'household_versions') AS winner;

CREATE TEMP TABLE constraints_at AS
SELECT entity, asked_at, valid_from, recorded_at FROM as_of('requests', 'household_constraint_versions') AS winner;

CREATE TEMP TABLE pantry_at AS
SELECT entity, asked_at, id FROM as_of('requests', 'pantry_versions') AS winner;

CREATE TEMP TABLE joined AS
SELECT a.*,
       h.valid_from AS household_valid_from, h.recorded_at AS household_recorded_at, h.size AS household_size,
       h.preferences, h.dietary_restrictions, h.region,
       c.valid_from AS constraints_valid_from, c.recorded_at AS constraints_recorded_at, c.budget, c.max_prep_time,
       c.excluded, c.entity AS constraints_entity,
       s.valid_from AS pantry_valid_from, s.recorded_at AS pantry_recorded_at, s.items AS pantry_items,
       COALESCE(
           a.exclusion,
           CASE WHEN h.entity IS NULL THEN 'unknown_household' WHEN NOT s.malformed IS NULL THEN 'malformed_pantry' END
       ) AS reason, s.malformed
FROM accepted_plans AS a
LEFT JOIN household_at AS hk ON hk.entity = a.household_id AND hk.asked_at = a.generated_at
LEFT JOIN household_versions AS h
  ON h.entity = hk.entity AND h.valid_from = hk.valid_from AND h.recorded_at = hk.recorded_at
LEFT JOIN constraints_at AS ck ON ck.entity = a.household_id AND ck.asked_at = a.generated_at
LEFT JOIN household_constraint_versions AS c
  ON c.entity = ck.entity AND c.valid_from = ck.valid_from AND c.recorded_at = ck.recorded_at
LEFT JOIN pantry_at AS pk ON pk.entity = a.household_id AND pk.asked_at = a.generated_at
LEFT JOIN pantry_versions AS s ON s.entity = pk.entity AND s.id = pk.id;

CREATE TEMP TABLE enriched_plans AS
SELECT plan_id, household_id, event_id, generated_at, accepted_at, recorded_at, policy_version_id, experiment_id,
       variant_id, workflow_type, mode, propensity,
       {'id': household_id, 'size': household_size, 'preferences': preferences, 'restrictions': dietary_restrictions,
        'region': region} AS household,
       CASE WHEN NOT constraints_entity IS NULL THEN
           {'budget': budget, 'max_prep_time': max_prep_time, 'excluded_ingredients': excluded}
       END AS constraints,
       {'items': pantry_items} AS pantry,
       CASE WHEN LEN(recent_plans) > 0 THEN recent_plans[1] END AS previous_plan,
       recent_plans,
       {'meals': meals} AS accepted_plan,
       user_edits,
       household_valid_from, household_recorded_at, constraints_valid_from, constraints_recorded_at, pantry_valid_from,
       pantry_recorded_at, recent_accepted_at, recent_recorded_at
FROM joined
WHERE reason IS NULL
ORDER BY plan_id;

CREATE TEMP TABLE excluded_plans AS
SELECT plan_id, household_id, event_id, accepted_at, reason, malformed AS detail
FROM joined
WHERE NOT reason IS NULL
ORDER BY plan_id, event_id;
