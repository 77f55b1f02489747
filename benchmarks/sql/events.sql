-- A day of exp.events as the meal app writes them, payloads of about 590 bytes; %(rows)s events.
INSERT INTO exp.events (id, event_type, unit_type, unit_id, experiments, context, metrics, payload, "timestamp", created_at)
SELECT md5('event' || i)::uuid,
       CASE i %% 2 WHEN 0 THEN 'plan_generated' ELSE 'plan_accepted' END,
       'household',
       md5('household' || i %% 10000)::uuid,
       jsonb_build_array(jsonb_build_object('experiment_id', md5('experiment')::uuid, 'variant_id', md5('v' || i %% 2)::uuid)),
       jsonb_build_object('policy_version_id', md5('policy')::uuid, 'workflow_type', 'plan-first', 'mode', 'autopilot',
                          'request_id', md5('request' || i)::uuid, 'app_version', '3.1.0'),
       jsonb_build_object('latency_ms', i %% 900, 'token_count', 300 + i %% 600),
       jsonb_build_object('plan_id', md5('plan' || i / 2)::uuid, 'plan', jsonb_build_object('meals', (
           SELECT jsonb_agg(jsonb_build_object('day', (ARRAY['monday', 'tuesday', 'wednesday', 'thursday', 'friday'])[1 + m %% 5],
                                               'recipe_id', 'recipe_' || lpad(((i * 31 + m * 17) %% 9000)::text, 5, '0'),
                                               'servings', 1 + m %% 6))
           FROM generate_series(1, 8) AS m))),
       timestamptz '2026-01-02 00:00+00' + i * interval '0.08 second',
       timestamptz '2026-01-02 00:00:02+00' + i * interval '0.08 second'
FROM generate_series(1, %(rows)s) AS i
