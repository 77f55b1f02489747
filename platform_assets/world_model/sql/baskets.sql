-- One row per basket of a week, in the order in which visits are counted everywhere: date, hour, then basket id, which by
-- itself says nothing of time. The rows of a basket agree on its visit (transactions.sql refuses those that do not).
-- Spend is summed as decimals: sums of doubles depend on the order, and so on the number of threads.
CREATE TEMP TABLE baskets AS
SELECT basket_id, MIN(cust_code) AS cust_code, MIN(store_code) AS store_code, MIN(shop_week) AS shop_week,
       MIN(shop_weekday) AS shop_weekday, MIN(shop_hour) AS shop_hour, MIN(shop_date) AS shop_date,
       CAST(COUNT(*) AS INTEGER) AS num_products, CAST(SUM(quantity) AS BIGINT) AS num_items,
       CAST(SUM(CAST(spend AS DECIMAL(18, 4))) AS DOUBLE) AS spend, MIN(basket_type) AS basket_type,
       MIN(basket_dominant_mission) AS basket_dominant_mission,
       MIN(basket_price_sensitivity) AS basket_price_sensitivity, MIN(basket_size) AS basket_size, MIN(seg_1) AS seg_1,
       MIN(seg_2) AS seg_2, MIN(cust_price_sensitivity) AS cust_price_sensitivity, MIN(cust_lifestage) AS cust_lifestage,
       MIN(store_format) AS store_format, MIN(store_region) AS store_region
FROM transactions
GROUP BY basket_id
ORDER BY shop_date, shop_hour, basket_id;
