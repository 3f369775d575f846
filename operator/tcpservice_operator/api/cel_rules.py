"""CEL rules of the CustomResourceDefinition: what a schema cannot check, such as relations between two fields.

Used by `crd`. The API server shows the message to the user of `kubectl apply`. `tcpservice.spec.rules` has the same
rules for files, except for the ending of the name, which matters in a cluster only. The operator alone checks whether
NestJS treats the patterns of two routes as equal, and reports it in the condition Accepted.
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
            "expected at most 54 characters, because the operator creates a Service <name>-replicas",
            ".metadata.name",
        ),
        _rule(
            "self.metadata.name.matches('^[a-z]([a-z0-9-]*[a-z0-9])?$')",
            "expected lowercase letters, digits and hyphens, beginning with a letter",
            ".metadata.name",
        ),
        _rule(
            "!self.metadata.name.endsWith('-replicas')",
            "expected a name that does not end with -replicas, because the operator creates Services with that ending",
            ".metadata.name",
        ),
    ],
    ".spec": [
        _rule(
            "!has(self.protocol) || self.protocol != 'Opaque' || !has(self.routes) || size(self.routes) == 0",
            "expected no routes with the protocol Opaque, because sidecars then do not read messages",
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
    ".spec.allowedCallers.namespaces": [
        _rule(
            "(has(self.from) && self.from == 'Selector') == has(self.selector)",
            "expected a selector if from is Selector, and no selector otherwise",
        ),
    ],
    ".spec.drain": [
        _rule(
            "!has(self.streamTimeout) ||"
            " duration(self.streamTimeout) >= duration(has(self.timeout) ? self.timeout : '20s')",
            "expected at least drain.timeout (default 20s)",
            ".streamTimeout",
        ),
    ],
}
