-- What each product cost in each of some weeks: the unit price of most rows, in whole cents, the lower of two as frequent, and
-- the lowest and highest one paid. Weeks count from the calendar's first day, those without rows too. Returns have no price,
-- nor has what cost less than half a cent. Cents, because whole numbers are equal or not; FLOOR(x + 0.5), because engines
-- round halves of doubles differently.
CREATE TEMP TABLE unit_prices AS
SELECT week_index, prod_code, cents, MIN(prod_code_10) AS prod_code_10, COUNT(*) AS sales
FROM (
    SELECT CAST(FLOOR(DATE_DIFF('day', p.first_day, t.shop_date) / 7) AS INTEGER) AS week_index, t.prod_code, t.prod_code_10,
           CAST(FLOOR(t.spend / t.quantity * 100 + 0.5) AS BIGINT) AS cents
    FROM transactions AS t
    CROSS JOIN parameters AS p
    WHERE t.spend > 0 AND t.quantity > 0
) AS paid
WHERE cents > 0
GROUP BY week_index, prod_code, cents;

CREATE TEMP TABLE week_prices AS
SELECT week_index, prod_code, prod_code_10, cents, lowest, highest
FROM (
    SELECT week_index, prod_code, cents, MIN(prod_code_10) OVER (PARTITION BY week_index, prod_code) AS prod_code_10,
           MIN(cents) OVER (PARTITION BY week_index, prod_code) AS lowest,
           MAX(cents) OVER (PARTITION BY week_index, prod_code) AS highest,
           ROW_NUMBER() OVER (PARTITION BY week_index, prod_code ORDER BY sales DESC, cents) AS place
    FROM unit_prices
) AS placed
WHERE place = 1
ORDER BY week_index, prod_code;
