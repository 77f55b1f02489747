-- The day's typed events, re-sent copies parted from first recordings.
-- A re-sent event repeats type, plan_id and request_id; the first recorded (created_at, then id) wins.
CREATE TEMP TABLE numbered AS
SELECT *, ROW_NUMBER() OVER (
    PARTITION BY event_type, plan_id, request_id ORDER BY created_at, event_id
) AS recording,
FIRST_VALUE(event_id) OVER (
    PARTITION BY event_type, plan_id, request_id ORDER BY created_at, event_id
) AS first_event_id
FROM typed_events;

CREATE TEMP TABLE events AS
SELECT event_id, event_type, household_id, timestamp, created_at, plan_id, request_id, policy_version_id, workflow_type,
       mode, app_version, propensity, experiment_id, variant_id, latency_ms, token_count, cost_usd, edit_count, meals,
       edit, detail
FROM numbered
WHERE recording = 1 OR plan_id IS NULL OR request_id IS NULL
ORDER BY timestamp, event_id;

CREATE TEMP TABLE quarantined_events AS
SELECT event_id, event_type, household_id, timestamp, created_at, rule, reason, payload, context
FROM refused_events
UNION ALL
SELECT event_id, event_type, household_id, timestamp, created_at, 'resent_event' AS rule,
       CONCAT('re-sent copy of event ', first_event_id) AS reason,
       CAST(NULL AS VARCHAR) AS payload, CAST(NULL AS VARCHAR) AS context
FROM numbered
WHERE recording > 1 AND plan_id IS NOT NULL AND request_id IS NOT NULL
ORDER BY timestamp, event_id;
