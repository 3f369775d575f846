"""Reconciles TcpServices: plans Services, status, Events and evictions, and writes what differs from the cluster.

Used by `main`. Only the replica that leads writes.
"""
