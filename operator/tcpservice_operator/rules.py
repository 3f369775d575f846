"""What crosses the fields of a TcpService, as CEL rules for the API server: what `tcpservice.spec.rules` says of files.

Used by `crd`. Each message is what a person reads who typed `kubectl apply`. Two things only the operator can see, and
says in the condition Accepted: patterns that are the same to NestJS though written otherwise, and what is not supported
yet.
"""

from __future__ import annotations

from typing import Final

Rules = dict[str, list[dict[str, str]]]

_LABEL: Final = "[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"


def _rule(rule: str, message: str, path: str = "") -> dict[str, str]:
    return {"rule": rule, "message": message, **({"fieldPath": path} if path else {})}


def _above_nothing(field: str) -> dict[str, str]:
    return _rule(
        f"!has(self.{field}) || duration(self.{field}) > duration('0s')", "expected a duration above 0s", f".{field}"
    )


_TIMEOUTS: Final = _rule(
    "!has(self.request) || !has(self.backendRequest) || duration(self.request) == duration('0s')"
    " || duration(self.backendRequest) <= duration(self.request)",
    "expected at most timeouts.request",
    ".backendRequest",
)

RULES: Final[Rules] = {
    "": [
        _rule(
            "size(self.metadata.name) <= 54",
            "metadata.name: expected at most 54 characters, as the Service <name>-replicas is made from it",
        ),
        _rule(
            "self.metadata.name.matches('^[a-z]([a-z0-9-]*[a-z0-9])?$')",
            "metadata.name: expected small letters, digits and hyphens, beginning with a letter",
        ),
    ],
    ".spec": [
        _rule(
            "!has(self.protocol) || self.protocol != 'Opaque' || !has(self.routes) || size(self.routes) == 0",
            "expected no routes with the protocol Opaque, in which there are no messages",
            ".routes",
        ),
    ],
    ".spec.selector": [
        _rule(
            f"self.all(name, name.matches('^([a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_LABEL}$'))",
            "expected labels such as app or example.com/app",
        ),
    ],
    ".spec.targetPort": [
        _rule(
            "type(self) == int ? self >= 1 && self <= 65535"
            " : size(self) <= 15 && self.matches('^([0-9]-?)*[a-z](-?[a-z0-9])*$')",
            "expected a port from 1 to 65535 or the name of a container's port",
        ),
    ],
    ".spec.limits.maxFrameSize": [
        _rule(
            "type(self) == int ? self >= 1 && self <= 1073741824"
            " : self.matches('^[0-9]{1,15}(\\\\.[0-9]{1,9})?([kMGTPE]|[KMGTPE]i|[eE][0-9]{1,2})?$')"
            " && quantity(self).isGreaterThan(quantity('0')) && !quantity(self).isGreaterThan(quantity('1Gi'))",
            "expected a size from 1 to 1Gi such as 4Mi",
        ),
    ],
    ".spec.timeouts": [_TIMEOUTS, _above_nothing("connect")],
    ".spec.routes[].timeouts": [_TIMEOUTS],
    ".spec.retryConstraint.budget": [_above_nothing("interval")],
    ".spec.retryConstraint.minRetryRate": [_above_nothing("interval")],
    ".spec.drain": [
        _rule(
            "!has(self.streamTimeout) ||"
            " duration(self.streamTimeout) >= duration(has(self.timeout) ? self.timeout : '20s')",
            "expected at least drain.timeout (default 20s)",
            ".streamTimeout",
        ),
    ],
}
