"""The conditions in the status of a TcpService: their types and reasons, and the checks that set them.

Used by `reconcile`. The checks are pure: they read one `View` of the cache and return status, reason and message.
"""
