"""The outside world, simulated with planted truth: what demos, tests and walks through the README run against."""
