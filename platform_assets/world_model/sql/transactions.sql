-- One fiscal week of raw rows (texts), typed, and parted into rows that are kept and rows that broke a rule.
-- Of several rules that a row breaks the first one below counts. Numbers are read as DOUBLE and must be whole where whole
-- numbers are meant: reading '1.5' as an integer rounds in one engine and cuts in another. NaN compares as the greatest
-- number, so that upper bounds catch it.
CREATE TEMP TABLE judged_rows AS
SELECT r.source_file, r.shop_week, r.shop_date, r.shop_weekday, r.shop_hour, r.quantity, r.spend, r.prod_code,
       r.prod_code_10, r.prod_code_20, r.prod_code_30, r.prod_code_40, r.cust_code, r.seg_1, r.seg_2,
       r.cust_price_sensitivity, r.cust_lifestage, r.basket_id, r.basket_size, r.basket_price_sensitivity, r.basket_type,
       r.basket_dominant_mission, r.store_code, r.store_format, r.store_region, r.rule,
       CASE WHEN NOT r.rule IS NULL THEN r.raw END AS raw
FROM (
    SELECT t.*,
           CASE
               WHEN t.shop_week IS NULL OR t.shop_week <> p.shop_week THEN 'other_week'
               WHEN t.prod_code IS NULL OR t.prod_code_10 IS NULL OR t.prod_code_20 IS NULL OR t.prod_code_30 IS NULL
                    OR t.prod_code_40 IS NULL OR t.store_code IS NULL OR t.raw.basket_id IS NULL THEN 'missing_code'
               WHEN t.basket_id IS NULL OR CAST(t.basket_id AS VARCHAR) <> t.raw.basket_id THEN 'unreadable_number'
               WHEN t.shop_weekday IS NULL OR t.shop_weekday <> FLOOR(t.shop_weekday) THEN 'unreadable_number'
               WHEN t.shop_hour IS NULL OR t.shop_hour <> FLOOR(t.shop_hour) THEN 'unreadable_number'
               WHEN t.quantity IS NULL OR t.quantity <> FLOOR(t.quantity) OR t.quantity > 1000000000 THEN 'unreadable_number'
               WHEN t.spend IS NULL OR t.spend < -1000000000 OR t.spend > 1000000000 THEN 'unreadable_number'
               WHEN t.shop_date IS NULL THEN 'unreadable_date'
               WHEN t.shop_date < p.first_day OR t.shop_date > p.last_day THEN 'date_outside_week'
               -- 1 = Sunday; a fiscal week starts on Monday, 2.
               WHEN t.shop_weekday <> (DATE_DIFF('day', p.first_day, t.shop_date) + 1) % 7 + 1 THEN 'other_weekday'
               WHEN t.shop_hour < 0 OR t.shop_hour > 23 THEN 'hour_out_of_range'
               WHEN t.quantity <= 0 THEN 'quantity_not_positive'
           END AS rule
    FROM (
        SELECT source_file, TRY_CAST(shop_week AS INTEGER) AS shop_week,
               CASE WHEN LENGTH(REPLACE(shop_date, '-', '')) = 8 THEN
                   TRY_CAST(CONCAT(SUBSTRING(REPLACE(shop_date, '-', ''), 1, 4), '-',
                                   SUBSTRING(REPLACE(shop_date, '-', ''), 5, 2), '-',
                                   SUBSTRING(REPLACE(shop_date, '-', ''), 7, 2)) AS DATE) END AS shop_date,
               TRY_CAST(shop_weekday AS DOUBLE) AS shop_weekday, TRY_CAST(shop_hour AS DOUBLE) AS shop_hour,
               TRY_CAST(quantity AS DOUBLE) AS quantity, TRY_CAST(spend AS DOUBLE) AS spend,
               NULLIF(TRIM(prod_code), '') AS prod_code, NULLIF(TRIM(prod_code_10), '') AS prod_code_10,
               NULLIF(TRIM(prod_code_20), '') AS prod_code_20, NULLIF(TRIM(prod_code_30), '') AS prod_code_30,
               NULLIF(TRIM(prod_code_40), '') AS prod_code_40, NULLIF(TRIM(cust_code), '') AS cust_code,
               NULLIF(TRIM(seg_1), '') AS seg_1, NULLIF(TRIM(seg_2), '') AS seg_2,
               NULLIF(TRIM(cust_price_sensitivity), '') AS cust_price_sensitivity,
               NULLIF(TRIM(cust_lifestage), '') AS cust_lifestage, TRY_CAST(basket_id AS BIGINT) AS basket_id,
               NULLIF(TRIM(basket_size), '') AS basket_size,
               NULLIF(TRIM(basket_price_sensitivity), '') AS basket_price_sensitivity,
               NULLIF(TRIM(basket_type), '') AS basket_type,
               NULLIF(TRIM(basket_dominant_mission), '') AS basket_dominant_mission,
               NULLIF(TRIM(store_code), '') AS store_code, NULLIF(TRIM(store_format), '') AS store_format,
               NULLIF(TRIM(store_region), '') AS store_region,
               {'shop_week': shop_week, 'shop_date': shop_date, 'shop_weekday': shop_weekday, 'shop_hour': shop_hour,
                'quantity': quantity, 'spend': spend, 'basket_id': NULLIF(TRIM(basket_id), '')} AS raw
        FROM raw_rows
    ) AS t
    CROSS JOIN parameters AS p
) AS r;

-- A basket is one visit of one customer to one store: where its rows disagree, none of them can be told from the wrong ones.
CREATE TEMP TABLE torn_baskets AS
SELECT basket_id, MIN(visit) AS one, MAX(visit) AS other
FROM (
    SELECT basket_id,
           CONCAT_WS(' ', COALESCE(cust_code, 'anonymous'), store_code, CAST(shop_date AS VARCHAR), CAST(shop_hour AS VARCHAR),
                     COALESCE(basket_size, '-'), COALESCE(basket_price_sensitivity, '-'), COALESCE(basket_type, '-'),
                     COALESCE(basket_dominant_mission, '-')) AS visit
    FROM judged_rows
    WHERE rule IS NULL
) AS visits
GROUP BY basket_id
HAVING MIN(visit) <> MAX(visit);

CREATE TEMP TABLE repeated AS
SELECT basket_id, prod_code
FROM judged_rows
WHERE rule IS NULL
GROUP BY basket_id, prod_code
HAVING COUNT(*) > 1;

-- Raw data has one row per basket and product. Of a product that comes again the first row in the order of all values stays.
CREATE TEMP TABLE numbered AS
SELECT j.*,
       ROW_NUMBER() OVER (
           PARTITION BY j.basket_id, j.prod_code
           ORDER BY j.quantity, j.spend, j.prod_code_10, j.prod_code_20, j.prod_code_30, j.prod_code_40, j.seg_1, j.seg_2,
                    j.cust_price_sensitivity, j.cust_lifestage, j.store_format, j.store_region, j.source_file
       ) AS occurrence
FROM judged_rows AS j
JOIN repeated AS d ON d.basket_id = j.basket_id AND d.prod_code = j.prod_code
LEFT JOIN torn_baskets AS b ON b.basket_id = j.basket_id
WHERE j.rule IS NULL AND b.basket_id IS NULL;

CREATE TEMP TABLE transactions AS
SELECT shop_week, shop_date, CAST(shop_weekday AS TINYINT) AS shop_weekday, CAST(shop_hour AS TINYINT) AS shop_hour,
       CAST(quantity AS INTEGER) AS quantity, spend, prod_code, prod_code_10, prod_code_20, prod_code_30, prod_code_40,
       cust_code, seg_1, seg_2, cust_price_sensitivity, cust_lifestage, basket_id, basket_size, basket_price_sensitivity,
       basket_type, basket_dominant_mission, store_code, store_format, store_region
FROM (
    SELECT j.*, 1 AS occurrence
    FROM judged_rows AS j
    LEFT JOIN torn_baskets AS b ON b.basket_id = j.basket_id
    LEFT JOIN repeated AS d ON d.basket_id = j.basket_id AND d.prod_code = j.prod_code
    WHERE j.rule IS NULL AND b.basket_id IS NULL AND d.basket_id IS NULL
    UNION ALL
    SELECT * FROM numbered
) AS kept
WHERE occurrence = 1
ORDER BY shop_date, shop_hour, basket_id, prod_code;

CREATE TEMP TABLE quarantined_transactions AS
SELECT q.source_file, q.shop_week, q.shop_date, q.shop_hour, q.quantity, q.spend, q.prod_code, q.cust_code, q.basket_id,
       q.store_code, q.rule, q.reason
FROM (
    SELECT j.source_file, j.raw.shop_week AS shop_week, j.raw.shop_date AS shop_date, j.raw.shop_hour AS shop_hour,
           j.raw.quantity AS quantity, j.raw.spend AS spend, j.prod_code, j.cust_code, j.raw.basket_id AS basket_id,
           j.store_code, j.rule,
           CASE j.rule
               WHEN 'other_week' THEN CONCAT('SHOP_WEEK is ', COALESCE(j.raw.shop_week, 'missing'), ' in week ', CAST(p.shop_week AS VARCHAR))
               WHEN 'missing_code' THEN CONCAT(
                   CASE WHEN j.prod_code IS NULL THEN 'PROD_CODE' WHEN j.raw.basket_id IS NULL THEN 'BASKET_ID'
                        WHEN j.store_code IS NULL THEN 'STORE_CODE' ELSE 'a PROD_CODE of the hierarchy' END, ' is missing')
               WHEN 'unreadable_number' THEN CONCAT(
                   'not a number, or no whole one where it must be: BASKET_ID ', COALESCE(j.raw.basket_id, 'missing'),
                   ', SHOP_WEEKDAY ', COALESCE(j.raw.shop_weekday, 'missing'), ', SHOP_HOUR ', COALESCE(j.raw.shop_hour, 'missing'),
                   ', QUANTITY ', COALESCE(j.raw.quantity, 'missing'), ', SPEND ', COALESCE(j.raw.spend, 'missing'))
               WHEN 'unreadable_date' THEN CONCAT('SHOP_DATE is ', COALESCE(j.raw.shop_date, 'missing'))
               WHEN 'date_outside_week' THEN CONCAT('SHOP_DATE ', j.raw.shop_date, ' is not between ', CAST(p.first_day AS VARCHAR), ' and ', CAST(p.last_day AS VARCHAR))
               WHEN 'other_weekday' THEN CONCAT('SHOP_DATE ', j.raw.shop_date, ' is not SHOP_WEEKDAY ', j.raw.shop_weekday)
               WHEN 'hour_out_of_range' THEN CONCAT('SHOP_HOUR is ', j.raw.shop_hour)
               ELSE CONCAT('QUANTITY is ', j.raw.quantity)
           END AS reason
    FROM judged_rows AS j
    CROSS JOIN parameters AS p
    WHERE NOT j.rule IS NULL
    UNION ALL
    SELECT j.source_file, CAST(j.shop_week AS VARCHAR) AS shop_week, CAST(j.shop_date AS VARCHAR) AS shop_date,
           CAST(CAST(j.shop_hour AS INTEGER) AS VARCHAR) AS shop_hour, CAST(CAST(j.quantity AS INTEGER) AS VARCHAR) AS quantity,
           CAST(j.spend AS VARCHAR) AS spend, j.prod_code, j.cust_code, CAST(j.basket_id AS VARCHAR) AS basket_id, j.store_code,
           'torn_basket' AS rule, CONCAT('rows of the basket disagree: ', b.one, ' and ', b.other) AS reason
    FROM judged_rows AS j
    JOIN torn_baskets AS b ON b.basket_id = j.basket_id
    WHERE j.rule IS NULL
    UNION ALL
    SELECT n.source_file, CAST(n.shop_week AS VARCHAR) AS shop_week, CAST(n.shop_date AS VARCHAR) AS shop_date,
           CAST(CAST(n.shop_hour AS INTEGER) AS VARCHAR) AS shop_hour, CAST(CAST(n.quantity AS INTEGER) AS VARCHAR) AS quantity,
           CAST(n.spend AS VARCHAR) AS spend, n.prod_code, n.cust_code, CAST(n.basket_id AS VARCHAR) AS basket_id, n.store_code,
           'repeated_product' AS rule, 'the basket has another row of this product' AS reason
    FROM numbered AS n
    WHERE n.occurrence > 1
    UNION ALL
    SELECT source_file, CAST(NULL AS VARCHAR) AS shop_week, CAST(NULL AS VARCHAR) AS shop_date,
           CAST(NULL AS VARCHAR) AS shop_hour, CAST(NULL AS VARCHAR) AS quantity, CAST(NULL AS VARCHAR) AS spend,
           CAST(NULL AS VARCHAR) AS prod_code, CAST(NULL AS VARCHAR) AS cust_code, CAST(NULL AS VARCHAR) AS basket_id,
           CAST(NULL AS VARCHAR) AS store_code, 'unreadable_line' AS rule,
           CONCAT('line ', CAST(line AS VARCHAR), ', ', fault, ': ', content) AS reason
    FROM unreadable_lines
) AS q
ORDER BY q.rule, q.basket_id, q.prod_code, q.reason;
