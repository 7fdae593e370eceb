"""Health checks and metrics as supervisors, proxies and Prometheus see them: real nodes, and a real Prometheus.

`python -m tests.monitoring --help` has the longer runs.
"""
