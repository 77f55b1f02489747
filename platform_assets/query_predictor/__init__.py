"""The Trino heavy-query predictor: logs of queries to a model that says, before a query runs, whether it will be heavy."""
