-- The plans accepted on one day, each with its generation, the edits between the two, and the plans accepted before it.
-- Input: `events` of the day and its look-back (plan lifetime + history). Nothing here is read from a domain table.
-- Keys are matched and ranked first; the plans themselves are fetched by key at the end.
CREATE TEMP TABLE acceptances AS
SELECT event_id, household_id, plan_id, timestamp AS accepted_at, created_at
FROM events
WHERE event_type = 'plan_accepted';

CREATE TEMP TABLE generations AS
SELECT plan_id, household_id, timestamp, created_at, policy_version_id, experiment_id, variant_id, workflow_type, mode,
       propensity,
       ROW_NUMBER() OVER (PARTITION BY plan_id, household_id ORDER BY timestamp, created_at, event_id) AS occurrence
FROM events
WHERE event_type = 'plan_generated';

CREATE TEMP TABLE judged AS
SELECT a.event_id, a.household_id, a.plan_id, a.accepted_at, a.created_at AS acceptance_recorded_at,
       g.timestamp AS generated_at, g.created_at AS generation_recorded_at, g.policy_version_id, g.experiment_id,
       g.variant_id, g.workflow_type, g.mode, g.propensity,
       CASE
           WHEN g.plan_id IS NULL THEN 'generation_missing'
           WHEN a.accepted_at < g.timestamp THEN 'accepted_before_generated'
           WHEN a.accepted_at > g.timestamp + p.plan_lifetime_days * INTERVAL '1' DAY THEN 'accepted_too_late'
       END AS fault
FROM acceptances AS a
CROSS JOIN parameters AS p
LEFT JOIN generations AS g ON g.plan_id = a.plan_id AND g.household_id = a.household_id AND g.occurrence = 1;

-- Of several acceptances of a plan the first valid one counts; one with a fault never stands in a valid one's way.
CREATE TEMP TABLE candidates AS
SELECT j.event_id, j.household_id, j.plan_id, j.accepted_at, j.acceptance_recorded_at, j.generated_at,
       j.generation_recorded_at, j.policy_version_id, j.experiment_id, j.variant_id, j.workflow_type, j.mode, j.propensity,
       COALESCE(j.fault, CASE WHEN j.occurrence > 1 THEN 'already_accepted' END) AS exclusion
FROM (
    SELECT *, ROW_NUMBER() OVER (
        PARTITION BY plan_id, household_id, fault IS NULL ORDER BY accepted_at, acceptance_recorded_at, event_id
    ) AS occurrence
    FROM judged
) AS j
CROSS JOIN parameters AS p
WHERE j.accepted_at >= p.day_start AND j.accepted_at < p.day_end;

-- A re-sent edit may lie in another day's partition than the first recording, where de-duplication by day cannot see it.
CREATE TEMP TABLE first_edits AS
SELECT plan_id, household_id, timestamp, created_at, event_id, edit,
       ROW_NUMBER() OVER (PARTITION BY event_type, plan_id, request_id ORDER BY created_at, event_id) AS recording
FROM events
WHERE event_type IN ('meal_swapped', 'edit_applied');

CREATE TEMP TABLE edits AS
SELECT c.event_id, MAX(e.created_at) AS edits_recorded_at,
       LIST_SORT(LIST({'edited_at': e.timestamp, 'recorded_at': e.created_at, 'event_id': e.event_id, 'edit': e.edit})) AS edits
FROM first_edits AS e
JOIN candidates AS c ON e.plan_id = c.plan_id AND e.household_id = c.household_id
WHERE e.recording = 1 AND e.timestamp >= c.generated_at AND e.timestamp <= c.accepted_at
GROUP BY c.event_id;

-- What the household had accepted by the generation time T and was known at T; a plan accepted twice counts once.
CREATE TEMP TABLE history AS
SELECT c.event_id, h.accepted_at, h.created_at, h.event_id AS recent_event_id,
       ROW_NUMBER() OVER (
           PARTITION BY c.event_id, h.plan_id ORDER BY h.accepted_at DESC, h.created_at DESC, h.event_id DESC
       ) AS repetition
FROM acceptances AS h
CROSS JOIN parameters AS p
JOIN candidates AS c ON h.household_id = c.household_id
WHERE c.exclusion IS NULL
  AND h.plan_id <> c.plan_id
  AND h.accepted_at < c.generated_at
  AND h.created_at <= c.generated_at
  AND h.accepted_at >= c.generated_at - p.history_days * INTERVAL '1' DAY;

CREATE TEMP TABLE ranked_history AS
SELECT event_id, accepted_at, created_at, recent_event_id,
       ROW_NUMBER() OVER (
           PARTITION BY event_id ORDER BY accepted_at DESC, created_at DESC, recent_event_id DESC
       ) AS recency
FROM history
WHERE repetition = 1;

CREATE TEMP TABLE recent AS
SELECT event_id, MAX(created_at) AS recent_recorded_at, MAX(accepted_at) AS recent_accepted_at,
       MAX(CASE WHEN recency = 1 THEN recent_event_id END) AS first,
       MAX(CASE WHEN recency = 2 THEN recent_event_id END) AS second,
       MAX(CASE WHEN recency = 3 THEN recent_event_id END) AS third,
       MAX(CASE WHEN recency = 4 THEN recent_event_id END) AS fourth
FROM ranked_history
WHERE recency <= 4
GROUP BY event_id;

CREATE TEMP TABLE plans AS
SELECT event_id, {'meals': meals} AS plan
FROM events
WHERE event_type = 'plan_accepted'
  AND event_id IN (
      SELECT event_id FROM candidates UNION ALL SELECT recent_event_id FROM ranked_history WHERE recency <= 4
  );

CREATE TEMP TABLE accepted_plans AS
SELECT c.event_id, c.household_id, c.plan_id, c.accepted_at, c.acceptance_recorded_at, accepted.plan.meals AS meals,
       c.generated_at, c.generation_recorded_at, c.policy_version_id, c.experiment_id, c.variant_id, c.workflow_type, c.mode,
       c.propensity, c.exclusion, r.recent_recorded_at, r.recent_accepted_at,
       GREATEST(c.acceptance_recorded_at, c.generation_recorded_at, COALESCE(e.edits_recorded_at, c.acceptance_recorded_at)) AS recorded_at,
       COALESCE(LIST_TRANSFORM(e.edits, entry -> entry.edit), []) AS user_edits,
       LIST_FILTER([first.plan, second.plan, third.plan, fourth.plan], plan -> NOT plan IS NULL) AS recent_plans
FROM candidates AS c
LEFT JOIN edits AS e ON e.event_id = c.event_id
LEFT JOIN recent AS r ON r.event_id = c.event_id
LEFT JOIN plans AS accepted ON accepted.event_id = c.event_id
LEFT JOIN plans AS first ON first.event_id = r.first
LEFT JOIN plans AS second ON second.event_id = r.second
LEFT JOIN plans AS third ON third.event_id = r.third
LEFT JOIN plans AS fourth ON fourth.event_id = r.fourth;
