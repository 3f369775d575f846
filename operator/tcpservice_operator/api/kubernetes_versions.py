"""The oldest version of Kubernetes that TcpService supports, and why.

Used by `main`, which logs an older version, and by `check`, which reports it. The chart's `kubeVersion` has the same
version.
"""

from __future__ import annotations

import re
from typing import Final

from tcpservice_operator.api.plain_objects import Body

OLDEST: Final = (1, 33)


def read_version(body: Body) -> tuple[int, int]:
    """Return the major and minor version from the response to /version; some API servers write the minor as `33+`."""
    return int(body["major"]), int(re.sub(r"\D.*", "", body["minor"]))


def why_too_old(version: tuple[int, int]) -> str:
    """Return why a version of Kubernetes is too old; empty if it is not."""
    if version >= OLDEST:
        return ""
    return (
        "Kubernetes {}.{} is too old: TcpService needs {}.{} or newer. In older versions, a Service that targets a "
        "port name of a native sidecar has no endpoints"
    ).format(*version, *OLDEST)
