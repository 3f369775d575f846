"""The HTTP servers of the operator: HTTPS for sidecars and the API server, plain HTTP for kubelets and Prometheus.

Used by `main`.
"""
