-- The sample index of a split: one row per basket of the weeks up to the last one known, in the order of visits.
-- Everything said of a customer counts only baskets before this one in that order (date, hour, basket id): window frames end
-- at the current row, and later weeks are not among the inputs at all. Windows run over keys, and over known customers only:
-- of anonymous baskets nothing prior is known, and together they would be one huge customer. `week` counts the calendar's weeks
-- from 1, those without baskets too.
CREATE TEMP TABLE visits AS
SELECT basket_id,
       ROW_NUMBER() OVER (PARTITION BY cust_code ORDER BY shop_date, shop_hour, basket_id) AS visit,
       ROW_NUMBER() OVER (PARTITION BY cust_code, store_code ORDER BY shop_date, shop_hour, basket_id) AS store_visit,
       CAST(DATE_DIFF('day', LAG(shop_date) OVER (PARTITION BY cust_code ORDER BY shop_date, shop_hour, basket_id), shop_date)
           AS INTEGER) AS days_since_previous
FROM baskets
WHERE NOT cust_code IS NULL;

CREATE TEMP TABLE samples AS
SELECT b.basket_id, b.cust_code AS customer_id, b.store_code AS store_id, b.shop_week,
       CAST(FLOOR(DATE_DIFF('day', p.first_day, b.shop_date) / 7) AS INTEGER) + 1 AS week,
       b.shop_weekday AS weekday, b.shop_hour AS hour, b.shop_date AS date, b.num_products,
       CAST(COALESCE(v.visit - 1, 0) AS INTEGER) AS history_length,
       v.visit = 1 AS is_first_basket, v.store_visit = 1 AS is_first_in_store, v.days_since_previous,
       CASE WHEN b.num_products <= 10 THEN 0 WHEN b.num_products <= 20 THEN 1 WHEN b.num_products <= 35 THEN 2
            WHEN b.num_products <= 50 THEN 3 ELSE 4 END AS bucket_id,
       b.basket_type AS mission_type, b.basket_dominant_mission AS mission_focus,
       b.basket_price_sensitivity AS price_sensitivity, b.basket_size,
       COALESCE(b.seg_1, b.cust_price_sensitivity) AS seg_1, COALESCE(b.seg_2, b.cust_lifestage) AS seg_2,
       CASE WHEN b.shop_date < p.validation_start THEN 'train' WHEN b.shop_date < p.test_start THEN 'validation'
            ELSE 'test' END AS split
FROM baskets AS b
CROSS JOIN parameters AS p
LEFT JOIN visits AS v ON v.basket_id = b.basket_id;

CREATE TEMP TABLE train_samples AS
SELECT * FROM samples WHERE split = 'train' ORDER BY date, hour, basket_id;

CREATE TEMP TABLE validation_samples AS
SELECT * FROM samples WHERE split = 'validation' ORDER BY date, hour, basket_id;

CREATE TEMP TABLE test_samples AS
SELECT * FROM samples WHERE split = 'test' ORDER BY date, hour, basket_id;
