-- Three databases on one server, each with its own role: a leaked password opens one of them.
-- Run once, by the Postgres image when its volume is empty (or by hand: psql -f databases.sql, with the passwords set).
\set ON_ERROR_STOP on
\getenv platform_password PLATFORM_DATABASE_PASSWORD
\getenv dagster_password DAGSTER_DATABASE_PASSWORD
\getenv mlflow_password MLFLOW_DATABASE_PASSWORD

CREATE ROLE platform LOGIN PASSWORD :'platform_password';
CREATE DATABASE platform OWNER platform;
REVOKE CONNECT ON DATABASE platform FROM PUBLIC;

CREATE ROLE dagster LOGIN PASSWORD :'dagster_password';
CREATE DATABASE dagster OWNER dagster;
REVOKE CONNECT ON DATABASE dagster FROM PUBLIC;

CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE DATABASE mlflow OWNER mlflow;
REVOKE CONNECT ON DATABASE mlflow FROM PUBLIC;
