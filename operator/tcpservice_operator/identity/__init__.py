"""The operator's certificate authority (CA): it signs serving certificates, and its bundle is distributed.

Used by `main`, and by `check` to read when a bundle expires.
"""
