"""The query predictor's assets, one file per artefact: thin, in the order of the way of the data."""
