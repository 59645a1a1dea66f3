"""Benchmarks: emfast beside its peers, in one process, on the same data, answers checked first."""
