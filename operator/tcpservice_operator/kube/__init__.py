"""The connection to the API server: the client, and the Lease that elects the replica that leads.

Used by `cache`, `inject`, `discovery`, `identity`, `check` and `main`. `reconcile` uses only its error `ApiError`.
"""
