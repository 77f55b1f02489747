-- Every product of the train weeks with its place in the tree. A product that moved within the tree keeps the first codes by
-- name: one place for all weeks, whatever order they are read in.
CREATE TEMP TABLE products AS
SELECT prod_code, MIN(prod_code_10) AS prod_code_10, MIN(prod_code_20) AS prod_code_20, MIN(prod_code_30) AS prod_code_30,
       MIN(prod_code_40) AS prod_code_40
FROM transactions
GROUP BY prod_code
ORDER BY prod_code;
