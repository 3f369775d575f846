"""The NestJS TCP transport, byte by byte: frames, the shape of requests and replies, and the mesh hop's own words.

Used by the `exchange`; later by the Python transport. Nothing here knows about replicas, policies or time.
"""
