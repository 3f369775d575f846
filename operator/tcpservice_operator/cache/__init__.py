"""What the operator knows of the cluster: it lists and watches each kind of object, and keeps a few fields of each.

Used by all folders that decide something: `conditions`, `reconcile`, `inject`, `discovery`, `identity` and `check`.
"""
