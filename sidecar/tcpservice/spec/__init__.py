"""Manifests: what people write (TcpService, EndpointSlice) read into the snapshot by which a sidecar runs.

`read` takes the text of files and gives either a snapshot or every problem at once, each with its file, line and path.
Pure: whoever calls it reads the files.
"""

from tcpservice.spec.problems import Problem
from tcpservice.spec.reading import Reading, read

__all__ = ["Problem", "Reading", "read"]
