-- Typed events and versions of the enrichment benchmark, in the shapes that events.sql and the source queries give. DuckDB.
-- `sizes` holds plans, households and snapshots_each. hash(i, salt) serves as the dice. Views: written straight to files.
CREATE MACRO identity(kind, i) AS CAST(CAST(md5(kind || i) AS UUID) AS VARCHAR);
CREATE MACRO instant(minutes) AS TIMESTAMPTZ '2026-01-02 00:00:00+00' + to_minutes(CAST(minutes AS BIGINT));
-- Recorded a second late, a tenth of all up to five days late.
CREATE MACRO recorded(valid_from, i, salt) AS valid_from + to_seconds(
    CASE WHEN hash(i, salt) % 10 = 0 THEN CAST(hash(i, salt + 1) % 432000 AS BIGINT) ELSE 1 END);
CREATE MACRO meals(i, salt) AS list_transform(range(7), lambda d: {
    'day': ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'][d + 1],
    'recipe_id': 'recipe_' || lpad(CAST(hash(i, d, salt) % 900 AS VARCHAR), 4, '0'),
    'servings': CAST(1 + hash(i, d, salt + 1) % 6 AS INTEGER)});

-- Each plan is generated, edited once and accepted two hours later; accepted_plans.sql makes accepted plans of it.
CREATE VIEW plan_events AS
SELECT identity(kind.event_type, i) AS event_id, kind.event_type, identity('household', i % households) AS household_id,
       instant(hash(i, 1) % 40320) + to_minutes(kind.minutes) AS timestamp,
       instant(hash(i, 1) % 40320) + to_minutes(kind.minutes) AS created_at,
       identity('plan', i) AS plan_id, identity(kind.event_type || ' request', i) AS request_id,
       identity('policy', 0) AS policy_version_id, 'plan-first' AS workflow_type, 'autopilot' AS mode, '3.1.0' AS app_version,
       CAST(NULL AS DOUBLE) AS propensity, identity('experiment', 0) AS experiment_id,
       identity('variant', i % 2) AS variant_id, CAST(NULL AS DOUBLE) AS latency_ms, CAST(NULL AS BIGINT) AS token_count,
       CAST(NULL AS DOUBLE) AS cost_usd, CAST(NULL AS BIGINT) AS edit_count,
       CASE WHEN kind.event_type <> 'meal_swapped' THEN meals(i, 10) END AS meals,
       CASE WHEN kind.event_type = 'meal_swapped' THEN
           {'type': 'swap_meal', 'day': 'monday', 'from': 'recipe_0001', 'to': 'recipe_0002',
            'recipe_id': CAST(NULL AS VARCHAR), 'servings': CAST(NULL AS INTEGER)} END AS edit,
       CAST(NULL AS VARCHAR) AS detail
FROM sizes, range(plans) AS r(i),
     (VALUES ('plan_generated', 0), ('meal_swapped', 60), ('plan_accepted', 120)) AS kind(event_type, minutes);

-- Bare events: what accepted_plans.sql would make of plans without a body, edits or history.
CREATE VIEW bare_plans AS
SELECT identity('plan_accepted', i) AS event_id, identity('household', i % households) AS household_id,
       identity('plan', i) AS plan_id, instant(hash(i, 1) % 40320) + INTERVAL 2 HOUR AS accepted_at,
       instant(hash(i, 1) % 40320) + INTERVAL 2 HOUR AS acceptance_recorded_at,
       CAST(NULL AS STRUCT("day" VARCHAR, recipe_id VARCHAR, servings INTEGER)[]) AS meals,
       instant(hash(i, 1) % 40320) AS generated_at, instant(hash(i, 1) % 40320) AS generation_recorded_at,
       identity('policy', 0) AS policy_version_id, identity('experiment', 0) AS experiment_id,
       identity('variant', i % 2) AS variant_id, 'plan-first' AS workflow_type, 'autopilot' AS mode,
       CAST(NULL AS DOUBLE) AS propensity, CAST(NULL AS VARCHAR) AS exclusion,
       CAST(NULL AS TIMESTAMPTZ) AS recent_recorded_at, CAST(NULL AS TIMESTAMPTZ) AS recent_accepted_at,
       instant(hash(i, 1) % 40320) + INTERVAL 2 HOUR AS recorded_at,
       CAST([] AS STRUCT("type" VARCHAR, "day" VARCHAR, "from" VARCHAR, "to" VARCHAR, recipe_id VARCHAR, servings INTEGER)[]) AS user_edits,
       CAST([] AS STRUCT(meals STRUCT("day" VARCHAR, recipe_id VARCHAR, servings INTEGER)[])[]) AS recent_plans
FROM sizes, range(plans) AS r(i);

-- The first version of each household is known before any plan, the second becomes valid within the four weeks.
CREATE VIEW household_versions AS
SELECT identity('household', i % households) AS entity, valid_from,
       CASE WHEN i < households THEN valid_from ELSE recorded(valid_from, i, 50) END AS recorded_at, '' AS id,
       CAST(1 + hash(i, 2) % 6 AS INTEGER) AS size, ['quick', 'spicy', 'one-pot'] AS preferences,
       ['vegetarian'] AS dietary_restrictions, ['north', 'south', 'east', 'west'][1 + CAST(hash(i, 3) % 4 AS INTEGER)] AS region
FROM sizes, (SELECT i, instant(CASE WHEN i < households THEN -1440 ELSE hash(i, 4) % 40320 END) AS valid_from
             FROM sizes, range(2 * households) AS r(i));

CREATE VIEW household_constraint_versions AS
SELECT identity('household', i % households) AS entity, valid_from,
       CASE WHEN i < households THEN valid_from ELSE recorded(valid_from, i, 60) END AS recorded_at, '' AS id,
       CAST(40 + hash(i, 5) % 100 AS DOUBLE) AS budget, CAST(15 + hash(i, 6) % 60 AS INTEGER) AS max_prep_time,
       ['peanut', 'shellfish'] AS excluded
FROM sizes, (SELECT i, instant(CASE WHEN i < households THEN -1440 ELSE hash(i, 7) % 40320 END) AS valid_from
             FROM sizes, range(2 * households) AS r(i));

CREATE VIEW pantry_versions AS
SELECT identity('household', i % households) AS entity, valid_from,
       CASE WHEN i < households THEN valid_from ELSE recorded(valid_from, i, 70) END AS recorded_at,
       identity('pantry', i) AS id,
       list_transform(range(10), lambda n: {
           'name': 'ingredient_' || CAST(hash(i, n) % 400 AS VARCHAR), 'quantity': CAST(hash(i, n, 1) % 2000 AS DOUBLE) / 4,
           'unit': ['g', 'ml', 'piece'][1 + CAST(hash(i, n, 2) % 3 AS INTEGER)]}) AS items,
       CAST(NULL AS VARCHAR) AS malformed
FROM sizes, (SELECT i, instant(CASE WHEN i < households THEN -1440 ELSE hash(i, 8) % 40320 END) AS valid_from
             FROM sizes, range(snapshots_each * households) AS r(i));
