"""Judges the facts of a cluster: a finding has passed, warned or failed, with the command that fixes a problem.

Used by `tcpservice check`, after `survey`. It is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from tcpservice import __version__
from tcpservice.spec.schema import GROUP
from tcpservice_operator.api import crd
from tcpservice_operator.api.kubernetes_versions import why_too_old
from tcpservice_operator.api.names import CALLS_ANNOTATION, WEBHOOK_NAME
from tcpservice_operator.api.plain_objects import Body
from tcpservice_operator.check.facts import Facts, Finding, Mark, Unknown
from tcpservice_operator.conditions.condition_types import SEVERE

LEASE_LIFE: Final = timedelta(seconds=15)
SHORT: Final = timedelta(days=7)
_INSTALL: Final = "helm upgrade --install tcpservice charts/tcpservice -n tcpservice-system --create-namespace"


def check(facts: Facts) -> list[Finding]:
    """Return all findings. Later findings often follow from earlier ones."""
    return [finding for judge in _JUDGES for finding in judge(facts)]


def _kubernetes(facts: Facts) -> Iterator[Finding]:
    reason = why_too_old(facts.version)
    if reason:
        yield Finding("failed", "cluster", reason)
    else:
        yield Finding("passed", "cluster", "Kubernetes {}.{}".format(*facts.version))


def _definition(facts: Facts) -> Iterator[Finding]:
    found = facts.definition
    if isinstance(found, Unknown):
        yield Finding("warned", "CRD", found.reason)
    elif found is None:
        yield Finding("failed", "CRD", f"{crd.NAME} does not exist: {_INSTALL}")
    elif _schemas(found) != _schemas(crd.definition()):
        yield Finding("warned", "CRD", f"its version differs from this command ({__version__}): {_INSTALL}")
    else:
        yield Finding("passed", "CRD", f"{crd.NAME} has the version {__version__}")


def _schemas(definition: Body) -> list[object]:
    return [version["schema"]["openAPIV3Schema"] for version in definition["spec"]["versions"]]


def _webhook(facts: Facts) -> Iterator[Finding]:
    found = facts.webhook
    if isinstance(found, Unknown):
        yield Finding("warned", "webhook", found.reason)
        return
    hooks = found["webhooks"] if found is not None else []
    if not hooks:
        yield Finding("failed", "webhook", f"there is no configuration {WEBHOOK_NAME}: {_INSTALL}")
        return
    if not hooks[0]["clientConfig"].get("caBundle"):
        yield Finding("failed", "webhook", f"the operator has not set its caBundle yet: {_log_of(hooks[0])}")
    elif hooks[0].get("failurePolicy") != "Ignore":
        yield Finding(
            "warned",
            "webhook",
            "its failurePolicy is not Ignore: no pod can be created while the operator does not respond",
        )
    else:
        yield Finding("passed", "webhook", "it is configured, and its caBundle is set")
        yield _certificate(facts, _log_of(hooks[0]))


def _log_of(hook: Body) -> str:
    namespace = (hook["clientConfig"].get("service") or {}).get("namespace", "tcpservice-system")
    return f"kubectl logs -n {namespace} deployment/tcpservice-operator"


def _certificate(facts: Facts, look: str) -> Finding:
    """Judge when the bundle of the webhook expires; the operator renews it long before."""
    if isinstance(facts.trusted, Unknown):
        return Finding("warned", "webhook", facts.trusted.reason)
    until, left = f"{facts.trusted:%Y-%m-%d}", facts.trusted - facts.now
    if left <= timedelta():
        return Finding("failed", "webhook", f"its caBundle expired on {until}: {look}")
    if left < SHORT:
        return Finding("warned", "webhook", f"its caBundle expires on {until} and was not renewed: {look}")
    return Finding("passed", "webhook", f"its caBundle is valid until {until}")


def _reached(facts: Facts) -> Iterator[Finding]:
    """Judge whether the API server reaches the operator."""
    if isinstance(facts.unreached, Unknown):
        yield Finding("warned", "webhook", facts.unreached.reason)
    elif facts.unreached:
        yield Finding("failed", "webhook", f"the API server does not reach the operator: {facts.unreached}")
    elif facts.unreached is not None:
        yield Finding("passed", "webhook", "the API server reaches the operator")


def _failures(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.unanswered, Unknown):
        yield Finding("warned", "webhook", f"it is not known how often it did not respond: {facts.unanswered.reason}")
    elif facts.unanswered:
        yield Finding(
            "warned", "webhook", f"it did not respond {facts.unanswered} times since the API server started; "
            "pods that were created then lack the sidecar (condition Injected)",
        )  # fmt: skip


def _operator(facts: Facts) -> Iterator[Finding]:
    found = facts.operator
    if isinstance(found, Unknown):
        yield Finding("warned", "operator", found.reason)
    elif found is None:
        yield Finding("failed", "operator", f"there is no Deployment tcpservice-operator: {_INSTALL}")
    else:
        yield _replicas(found)
        version = _version_of(facts)
        if version != __version__:
            yield Finding("warned", "operator", f"its version is {version}, that of this command {__version__}")


def _version_of(facts: Facts) -> str:
    """Return the operator's version, or that of this command if the operator has no version label."""
    found = facts.operator
    labels = {} if found is None or isinstance(found, Unknown) else found["metadata"].get("labels") or {}
    version: str = labels.get("app.kubernetes.io/version", __version__)
    return version


def _replicas(deployment: Body) -> Finding:
    namespace = deployment["metadata"]["namespace"]
    desired = deployment["spec"].get("replicas", 1)
    ready = (deployment.get("status") or {}).get("availableReplicas", 0)
    look = f"kubectl describe pods -n {namespace} -l app.kubernetes.io/name=tcpservice-operator"
    scale = f"kubectl scale -n {namespace} deployment/tcpservice-operator --replicas=2"
    if ready < desired:
        return Finding(
            "failed" if not ready else "warned", "operator", f"{ready} of {desired} replicas are ready: {look}"
        )
    if desired < 2:
        return Finding("failed" if not desired else "warned", "operator", f"{desired} replicas: {scale}")
    return Finding("passed", "operator", f"{ready} replicas are ready")


def _leader(facts: Facts) -> Iterator[Finding]:
    found = facts.lease
    if facts.operator is None:
        return
    if isinstance(found, Unknown):
        yield Finding("warned", "leader", found.reason)
        return
    spec = (found or {}).get("spec") or {}
    holder, renewed = spec.get("holderIdentity"), spec.get("renewTime")
    if not holder or not renewed or facts.now - datetime.fromisoformat(renewed) > LEASE_LIFE:
        yield Finding(
            "failed", "leader", "no replica of the operator leads, so nothing is written: see the operator's log"
        )
    else:
        yield Finding("passed", "leader", f"{holder} leads")


def _rights(facts: Facts) -> Iterator[Finding]:
    if facts.operator is None:
        return
    if isinstance(facts.denied, Unknown):
        yield Finding("warned", "rights", facts.denied.reason)
    elif facts.denied:
        yield Finding("failed", "rights", f"the operator may not {', '.join(facts.denied)}: {_INSTALL}")
    else:
        yield Finding("passed", "rights", "the operator has all rights that it needs")


def _services(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.services, Unknown):
        yield Finding("warned", "TcpServices", facts.services.reason)
        return
    if not facts.services:
        yield Finding("warned", "TcpServices", "there are no TcpServices yet: kubectl apply -f examples/orders/")
    for body in facts.services:
        yield from _service(body, facts)


def _service(body: Body, facts: Facts) -> Iterator[Finding]:
    key = (body["metadata"]["namespace"], body["metadata"]["name"])
    subject, status = "/".join(key), body.get("status") or {}
    conditions = status.get("conditions") or []
    if status.get("observedGeneration") != body["metadata"].get("generation"):
        yield Finding("warned", subject, "the operator has not reconciled its last change yet")
    bad = [one for one in conditions if one["status"] == "False" and one["reason"] != "NotAccepted"]
    for one in bad:
        mark: Mark = "failed" if one["type"] in SEVERE else "warned"
        message = one["message"].partition("\n")[0]  # without the page, so that the line ends with the command
        yield Finding(mark, subject, f"{one['type']}: {message}")
    if conditions and not bad:
        counts = status.get("replicas") or {}
        yield Finding("passed", subject, f"{counts.get('ready')} of {counts.get('total')} pods are ready")
    yield from _missed(subject, conditions)
    tried = facts.tried.get(key)
    if isinstance(tried, Unknown):
        yield Finding("warned", subject, f"it could not be tested whether a new pod gets the sidecar: {tried.reason}")
    elif tried:
        yield Finding("failed", subject, f"a new pod would get no sidecar: {tried}")
    elif tried is not None:
        yield Finding("passed", subject, "a new pod gets the sidecar")


def _missed(subject: str, conditions: Iterable[Body]) -> Iterator[Finding]:
    """Find problems of callers: if all pods have the sidecar, they are the end of the message of Injected."""
    for one in conditions:
        callers = one["message"].partition("; ")[2]
        if (one["type"], one["status"]) == ("Injected", "True") and callers:
            yield Finding("warned", subject, callers)


def _pods(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.pods, Unknown):
        yield Finding("warned", "pods", facts.pods.reason)
        return
    for seen in facts.pods:
        if seen.pod.refused:
            yield Finding("warned", "/".join(seen.pod.key), f"it has no sidecar, as {seen.pod.refused}")
    current = _version_of(facts)
    skewed = [seen for seen in facts.pods if seen.version not in ("", current) and not seen.pod.leaving]
    for version in sorted({seen.version for seen in skewed}):
        those = [seen.pod for seen in skewed if seen.version == version]
        fix = "; ".join(sorted({pod.restart_command for pod in those} - {""}))
        yield Finding(
            "warned", "pods", f"pods whose sidecar has the version {version}, not {current}: {len(those)}; {fix}"
        )


def _crossing(facts: Facts) -> Iterator[Finding]:
    """Find pods whose annotation lists an unknown TcpService, or whose containers name one of another namespace."""
    if isinstance(facts.pods, Unknown) or isinstance(facts.services, Unknown):
        return
    names = {f"{body['metadata']['name']}.{body['metadata']['namespace']}" for body in facts.services}
    for seen in facts.pods:
        called = {".".join(reversed(key)) for key in seen.pod.called() or ()}
        for name in sorted(called - names) if not seen.pod.leaving else ():
            service, _, namespace = name.partition(".")
            text = (
                f"its annotation {CALLS_ANNOTATION} lists the TcpService {service} in {namespace}, which does not exist"
            )
            yield Finding("warned", "/".join(seen.pod.key), text)
        for name in sorted((seen.words & names) - called):
            if name.partition(".")[2] != seen.pod.key[0]:
                yield Finding(
                    "warned", "/".join(seen.pod.key), f"it seems to call {name} without its sidecar; "
                    f"give its template the label {GROUP}/inject: enabled "
                    f'and the annotation {CALLS_ANNOTATION}: "{name}"',
                )  # fmt: skip


_JUDGES: Final[tuple[Callable[[Facts], Iterator[Finding]], ...]] = (
    _kubernetes, _definition, _webhook, _reached, _failures, _operator, _leader, _rights, _services, _pods, _crossing,
)  # fmt: skip
