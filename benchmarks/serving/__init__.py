"""How close the server comes to what its engine and its processor allow.

    python -m benchmarks.serving                      # the table, in about ten minutes
    python -m benchmarks.serving --long               # with the growth and memory runs: 40 minutes
    python -m benchmarks.serving --only M1,M2 --quick
    python -m benchmarks.serving --many 32 --minutes 10

The real server is measured as a process of its own, against baselines on the same cores in the
same run, by a load generator on another core. SIGHTLINE_* variables set the server as ever;
engine and device hold for the baselines, too.
"""
