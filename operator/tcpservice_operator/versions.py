"""The oldest Kubernetes that TcpService works with, and why.

Used by `app` (a line in the log) and by `checking` (`tcpservice check`); the chart's `kubeVersion` says the same.
"""

from __future__ import annotations

import re
from typing import Final

from tcpservice_operator.objects import Body

OLDEST: Final = (1, 33)


def read_version(body: Body) -> tuple[int, int]:
    """Return major and minor version of an API server's answer to /version: some write the minor one as `33+`."""
    return int(body["major"]), int(re.sub(r"\D.*", "", body["minor"]))


def why_too_old(version: tuple[int, int]) -> str:
    """Return why a version of Kubernetes does not work, nothing where it does."""
    if version >= OLDEST:
        return ""
    return (
        "Kubernetes {}.{} is too old: before {}.{}, EndpointSlices have no port for a Service that targets a port of a "
        "native sidecar by name, so that such a Service reaches no pod with a sidecar"
    ).format(*version, *OLDEST)
