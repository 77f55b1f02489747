"""Benchmarks: ours against peers, on data they generate themselves, measured side by side in one run.

Only ratios travel: the same work swings up to twofold from minute to minute on a shared machine, so contestants take turns
(A B A B ...) and a ratio is the median of the ratios of the turns. Each measured piece of work that has a peak memory runs in
an interpreter of its own. What does not belong here: assertions about correctness, which are tests, except that contestants
must have done the same work.
"""
