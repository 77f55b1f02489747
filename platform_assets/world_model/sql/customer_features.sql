-- Who the customers are, and the constants that their features are scaled by.
-- Customers are numbered by their first week, then by code: a later week only appends. The constants come from train weeks
-- alone, and from the items of known customers: anonymous baskets have no row that could be compared with them.
CREATE TEMP TABLE customers AS
SELECT CAST(ROW_NUMBER() OVER (ORDER BY first_week, cust_code) AS INTEGER) AS customer, cust_code, first_week
FROM (
    SELECT cust_code, CAST(CAST(DATE_TRUNC('week', MIN(shop_date)) AS DATE) AS VARCHAR) AS first_week
    FROM baskets
    WHERE NOT cust_code IS NULL
    GROUP BY cust_code
) AS seen
ORDER BY customer;

CREATE TEMP TABLE categories AS
SELECT prod_code_30 AS category, COUNT(*) AS items
FROM train_transactions
WHERE NOT cust_code IS NULL
GROUP BY prod_code_30
ORDER BY category;

CREATE TEMP TABLE segments AS
SELECT name, segment
FROM (
    SELECT 'seg_1' AS name, COALESCE(seg_1, cust_price_sensitivity) AS segment FROM train_baskets
    UNION
    SELECT 'seg_2' AS name, COALESCE(seg_2, cust_lifestage) AS segment FROM train_baskets
) AS found
WHERE NOT segment IS NULL
ORDER BY name, segment;
