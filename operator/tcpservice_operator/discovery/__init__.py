"""Discovery streams: each sidecar gets the TcpServices that its pod serves or calls, and then each change.

Used by `http`, which serves the streams, and by `main`.
"""
