"""`tcpservice check`: asks the cluster for facts, and turns them into findings.

Used by `tcpservice_cli` only; the operator's process does not import it.
"""
