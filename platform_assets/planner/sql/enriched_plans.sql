-- Accepted plans joined to what was known of household, constraints and pantry at the generation time.
-- Only keys pass through the as-of joins; what is wide (plans, pantries) is read once, at the end, by key.
CREATE TEMP TABLE requests AS
SELECT event_id AS request, household_id AS entity, generated_at AS asked_at
FROM accepted_plans
WHERE exclusion IS NULL;

CREATE TEMP TABLE numbered_households AS
SELECT ROW_NUMBER() OVER (ORDER BY entity, valid_from, recorded_at) AS version, entity, valid_from, recorded_at, id, size,
       preferences, dietary_restrictions, region
FROM household_versions;

CREATE TEMP TABLE numbered_constraints AS
SELECT ROW_NUMBER() OVER (ORDER BY entity, valid_from, recorded_at) AS version, entity, valid_from, recorded_at, id, budget,
       max_prep_time, excluded
FROM household_constraint_versions;

CREATE TEMP TABLE pantry_keys AS
SELECT id AS version, entity, valid_from, recorded_at, id
FROM pantry_versions;

CREATE TEMP TABLE household_at AS
SELECT request, version FROM as_of('requests', 'numbered_households') AS winner;

CREATE TEMP TABLE constraints_at AS
SELECT request, version FROM as_of('requests', 'numbered_constraints') AS winner;

CREATE TEMP TABLE pantry_at AS
SELECT request, version FROM as_of('requests', 'pantry_keys') AS winner;

CREATE TEMP TABLE judged AS
SELECT a.event_id, h.version AS household_version, c.version AS constraints_version, p.version AS pantry_version,
       COALESCE(
           a.exclusion,
           CASE WHEN h.version IS NULL THEN 'unknown_household' WHEN NOT s.malformed IS NULL THEN 'malformed_pantry' END
       ) AS reason, s.malformed
FROM accepted_plans AS a
LEFT JOIN household_at AS h ON h.request = a.event_id
LEFT JOIN constraints_at AS c ON c.request = a.event_id
LEFT JOIN pantry_at AS p ON p.request = a.event_id
LEFT JOIN pantry_versions AS s ON s.id = p.version;

CREATE TEMP TABLE excluded_plans AS
SELECT a.plan_id, a.household_id, a.event_id, a.accepted_at, j.reason, j.malformed AS detail
FROM accepted_plans AS a
JOIN judged AS j ON j.event_id = a.event_id
WHERE NOT j.reason IS NULL
ORDER BY a.plan_id, a.event_id;

CREATE TEMP TABLE enriched_plans AS
SELECT a.plan_id, a.household_id, a.event_id, a.generated_at, a.accepted_at, a.recorded_at, a.policy_version_id,
       a.experiment_id, a.variant_id, a.workflow_type, a.mode, a.propensity,
       {'id': a.household_id, 'size': h.size, 'preferences': h.preferences, 'restrictions': h.dietary_restrictions,
        'region': h.region} AS household,
       CASE WHEN NOT c.version IS NULL THEN
           {'budget': c.budget, 'max_prep_time': c.max_prep_time, 'excluded_ingredients': c.excluded}
       END AS constraints,
       {'items': s.items} AS pantry,
       CASE WHEN LEN(a.recent_plans) > 0 THEN a.recent_plans[1] END AS previous_plan,
       a.recent_plans,
       {'meals': a.meals} AS accepted_plan,
       a.user_edits,
       h.valid_from AS household_valid_from, h.recorded_at AS household_recorded_at,
       c.valid_from AS constraints_valid_from, c.recorded_at AS constraints_recorded_at,
       s.valid_from AS pantry_valid_from, s.recorded_at AS pantry_recorded_at, a.recent_accepted_at, a.recent_recorded_at
FROM accepted_plans AS a
JOIN judged AS j ON j.event_id = a.event_id AND j.reason IS NULL
LEFT JOIN numbered_households AS h ON h.version = j.household_version
LEFT JOIN numbered_constraints AS c ON c.version = j.constraints_version
LEFT JOIN pantry_versions AS s ON s.id = j.pantry_version;
