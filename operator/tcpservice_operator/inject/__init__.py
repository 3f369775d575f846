"""Adds the sidecar to pods: in the admission webhook, and in manifests for `tcpservice inject`.

Used by `http` (the webhook), `operator_settings` (the flags of the sidecars) and `tcpservice_cli`.
"""
