-- Of every store of the train weeks: what it sells in all, how its baskets spread over hours, weekdays, sizes and types, and
-- how its rows spread over the finest categories. Sums of whole numbers and of decimals: the same in any order.
CREATE TEMP TABLE stores AS
SELECT store_code, MIN(store_format) AS store_format, MIN(store_region) AS store_region, COUNT(*) AS baskets,
       COUNT(DISTINCT shop_week) AS weeks, CAST(SUM(num_products) AS BIGINT) AS products,
       CAST(SUM(CAST(spend AS DECIMAL(18, 4))) AS DOUBLE) AS spend
FROM baskets
GROUP BY store_code
ORDER BY store_code;

CREATE TEMP TABLE habits AS
SELECT store_code, CONCAT('hour ', CAST(shop_hour AS VARCHAR)) AS habit, COUNT(*) AS baskets
FROM baskets
GROUP BY store_code, shop_hour
UNION ALL
SELECT store_code, CONCAT('weekday ', CAST(shop_weekday AS VARCHAR)) AS habit, COUNT(*) AS baskets
FROM baskets
GROUP BY store_code, shop_weekday
UNION ALL
SELECT store_code, CONCAT('size ', COALESCE(basket_size, 'unknown')) AS habit, COUNT(*) AS baskets
FROM baskets
GROUP BY store_code, basket_size
UNION ALL
SELECT store_code, CONCAT('type ', basket_type) AS habit, COUNT(*) AS baskets
FROM (
    SELECT store_code,
           CASE WHEN basket_type IN ('Small Shop', 'Top Up', 'Full Shop') THEN basket_type ELSE 'other' END AS basket_type
    FROM baskets
) AS typed
GROUP BY store_code, basket_type
ORDER BY store_code, habit;

CREATE TEMP TABLE assortment AS
SELECT store_code, prod_code_10, COUNT(*) AS purchases
FROM transactions
GROUP BY store_code, prod_code_10
ORDER BY store_code, prod_code_10;
