"""The operator: reconciles TcpServices in a Kubernetes cluster.

It creates the Services of each TcpService, reports problems in the status, injects the sidecar into pods and pushes
endpoints and policies to the sidecars. `main` is the process; each folder has one job.
"""
