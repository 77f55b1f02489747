-- One week of enriched plans in the documented shape. The split is a salted hash of the household, so that no household
-- is on both sides, and independent of the hash that assigns experiments.
CREATE TEMP TABLE dataset AS
SELECT {'household': household, 'pantry': pantry, 'constraints': constraints, 'workflow_type': workflow_type,
        'mode': mode, 'previous_plan': previous_plan, 'recent_plans': recent_plans} AS input,
       {'accepted_plan': accepted_plan, 'user_edits': user_edits} AS target,
       {'timestamp': generated_at, 'accepted_at': accepted_at, 'policy_version_id': policy_version_id,
        'event_id': event_id, 'plan_id': plan_id, 'experiment_id': experiment_id, 'variant_id': variant_id,
        'region': household.region, 'household_size': household.size,
        'split': CASE WHEN SUBSTRING(MD5(CONCAT(p.split_salt, household_id)), 1, 4) < p.validation_below
                      THEN 'validation' ELSE 'train' END} AS metadata
FROM enriched_plans
CROSS JOIN parameters AS p
ORDER BY plan_id;
