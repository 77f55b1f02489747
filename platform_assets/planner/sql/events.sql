-- The day's typed events, re-sent copies parted from first recordings.
-- A re-sent event repeats type, plan_id and request_id; the first recorded (created_at, then id) wins. Only events that occur
-- more than once are numbered: the day itself streams through, whatever its size.
CREATE TEMP TABLE repeated AS
SELECT event_type, plan_id, request_id
FROM typed_events
WHERE NOT plan_id IS NULL AND NOT request_id IS NULL
GROUP BY event_type, plan_id, request_id
HAVING COUNT(*) > 1;

CREATE TEMP TABLE numbered AS
SELECT t.event_id, t.event_type, t.household_id, t.timestamp, t.created_at,
       FIRST_VALUE(t.event_id) OVER (
           PARTITION BY t.event_type, t.plan_id, t.request_id ORDER BY t.created_at, t.event_id
       ) AS first_event_id
FROM typed_events AS t
JOIN repeated AS r ON r.event_type = t.event_type AND r.plan_id = t.plan_id AND r.request_id = t.request_id;

CREATE TEMP TABLE copies AS
SELECT *
FROM numbered
WHERE event_id <> first_event_id;

CREATE TEMP TABLE events AS
SELECT t.event_id, t.event_type, t.household_id, t.timestamp, t.created_at, t.plan_id, t.request_id, t.policy_version_id,
       t.workflow_type, t.mode, t.app_version, t.propensity, t.experiment_id, t.variant_id, t.latency_ms, t.token_count,
       t.cost_usd, t.edit_count, t.meals, t.edit, t.detail
FROM typed_events AS t
LEFT JOIN copies AS c ON c.event_id = t.event_id
WHERE c.event_id IS NULL;

CREATE TEMP TABLE quarantined_events AS
SELECT event_id, event_type, household_id, timestamp, created_at, rule, reason, payload, context
FROM refused_events
UNION ALL
SELECT event_id, event_type, household_id, timestamp, created_at, 'resent_event' AS rule,
       CONCAT('re-sent copy of event ', first_event_id) AS reason,
       CAST(NULL AS VARCHAR) AS payload, CAST(NULL AS VARCHAR) AS context
FROM copies;
