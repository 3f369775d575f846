"""The operator: makes what TcpServices ask for true in a cluster, and says in their status what is.

Pure parts decide (`crd`), thin ones speak to Kubernetes.
"""
