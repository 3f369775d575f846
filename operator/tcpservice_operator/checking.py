"""What the facts of a cluster mean for its people: lines that passed, are to be looked at, or failed, with the mend.

Pure; used by `tcpservice check`, which asks for the facts (`survey`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from tcpservice import __version__
from tcpservice.spec.schema import GROUP
from tcpservice_operator import crd
from tcpservice_operator.facts import Facts, Finding, Mark, Unknown
from tcpservice_operator.objects import CALLS, WEBHOOK, Body
from tcpservice_operator.versions import why_too_old

LEASE_LIFE: Final = timedelta(seconds=15)
SHORT: Final = timedelta(days=7)
_SEVERE: Final = ("Accepted", "Programmed", "Ready")
_INSTALL: Final = "helm upgrade --install tcpservice charts/tcpservice -n tcpservice-system --create-namespace"


def check(facts: Facts) -> list[Finding]:
    """Return all findings, in the order in which things depend on each other."""
    return [finding for look in _LOOKS for finding in look(facts)]


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
        yield Finding("failed", "CRD", f"{crd.NAME} is not there: {_INSTALL}")
    elif _schemas(found) != _schemas(crd.definition()):
        yield Finding("warned", "CRD", f"it is of another version than this command ({__version__}): {_INSTALL}")
    else:
        yield Finding("passed", "CRD", f"{crd.NAME} is that of {__version__}")


def _schemas(definition: Body) -> list[object]:
    return [version["schema"]["openAPIV3Schema"] for version in definition["spec"]["versions"]]


def _webhook(facts: Facts) -> Iterator[Finding]:
    found = facts.webhook
    if isinstance(found, Unknown):
        yield Finding("warned", "webhook", found.reason)
        return
    hooks = found["webhooks"] if found is not None else []
    if not hooks:
        yield Finding("failed", "webhook", f"there is no configuration {WEBHOOK}: {_INSTALL}")
        return
    if not hooks[0]["clientConfig"].get("caBundle"):
        yield Finding("failed", "webhook", f"the operator has not let the API server trust it yet: {_log_of(hooks[0])}")
    elif hooks[0].get("failurePolicy") != "Ignore":
        yield Finding("warned", "webhook", "its failurePolicy is not Ignore: without the operator, no pod is created")
    else:
        yield Finding("passed", "webhook", "it is configured, and the API server trusts it")
        yield _certificate(facts, _log_of(hooks[0]))


def _log_of(hook: Body) -> str:
    namespace = (hook["clientConfig"].get("service") or {}).get("namespace", "tcpservice-system")
    return f"kubectl logs -n {namespace} deployment/tcpservice-operator"


def _certificate(facts: Facts, look: str) -> Finding:
    """Judge how long the API server can go on trusting the webhook; the operator renews in good time."""
    if isinstance(facts.trusted, Unknown):
        return Finding("warned", "webhook", facts.trusted.reason)
    until, left = f"{facts.trusted:%Y-%m-%d}", facts.trusted - facts.now
    if left <= timedelta():
        return Finding("failed", "webhook", f"what the API server trusts has ended on {until}: {look}")
    if left < SHORT:
        return Finding("warned", "webhook", f"what the API server trusts ends on {until}, and was not renewed: {look}")
    return Finding("passed", "webhook", f"what the API server trusts holds until {until}")


def _reached(facts: Facts) -> Iterator[Finding]:
    """Judge whether the API server comes through to the operator, be there a TcpService or not."""
    if isinstance(facts.unreached, Unknown):
        yield Finding("warned", "webhook", facts.unreached.reason)
    elif facts.unreached:
        yield Finding("failed", "webhook", f"the API server does not come through to the operator: {facts.unreached}")
    elif facts.unreached is not None:
        yield Finding("passed", "webhook", "the API server comes through to the operator")


def _failures(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.unanswered, Unknown):
        yield Finding("warned", "webhook", f"how often it did not answer is not known: {facts.unanswered.reason}")
    elif facts.unanswered:
        yield Finding(
            "warned", "webhook", f"{facts.unanswered} times it did not answer, since the API server was started; "
            "pods that were created then lack the sidecar, as the conditions say",
        )  # fmt: skip


def _operator(facts: Facts) -> Iterator[Finding]:
    found = facts.operator
    if isinstance(found, Unknown):
        yield Finding("warned", "operator", found.reason)
    elif found is None:
        yield Finding("failed", "operator", f"there is no Deployment tcpservice-operator: {_INSTALL}")
    else:
        yield _copies(found)
        version = _version_of(facts)
        if version != __version__:
            yield Finding("warned", "operator", f"its version is {version}, that of this command {__version__}")


def _version_of(facts: Facts) -> str:
    """Return the operator's version, this command's where it does not say."""
    found = facts.operator
    labels = {} if found is None or isinstance(found, Unknown) else found["metadata"].get("labels") or {}
    version: str = labels.get("app.kubernetes.io/version", __version__)
    return version


def _copies(deployment: Body) -> Finding:
    namespace = deployment["metadata"]["namespace"]
    wanted = deployment["spec"].get("replicas", 1)
    ready = (deployment.get("status") or {}).get("availableReplicas", 0)
    look = f"kubectl describe pods -n {namespace} -l app.kubernetes.io/name=tcpservice-operator"
    scale = f"kubectl scale -n {namespace} deployment/tcpservice-operator --replicas=2"
    if ready < wanted:
        return Finding("failed" if not ready else "warned", "operator", f"{ready} of {wanted} copies are ready: {look}")
    if wanted < 2:
        return Finding("failed" if not wanted else "warned", "operator", f"{wanted} copies: {scale}")
    return Finding("passed", "operator", f"{ready} copies are ready")


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
        yield Finding("failed", "leader", "no copy leads, so that nothing is written: see the operator's log")
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
        yield Finding("passed", "rights", "the operator has all that it needs")


def _services(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.services, Unknown):
        yield Finding("warned", "TcpServices", facts.services.reason)
        return
    if not facts.services:
        yield Finding("warned", "TcpServices", "there are none yet: kubectl apply -f examples/orders/")
    for body in facts.services:
        yield from _service(body, facts)


def _service(body: Body, facts: Facts) -> Iterator[Finding]:
    key = (body["metadata"]["namespace"], body["metadata"]["name"])
    subject, status = "/".join(key), body.get("status") or {}
    conditions = status.get("conditions") or []
    if status.get("observedGeneration") != body["metadata"].get("generation"):
        yield Finding("warned", subject, "the operator has not looked at its last change yet")
    bad = [one for one in conditions if one["status"] == "False" and one["reason"] != "NotAccepted"]
    for one in bad:
        mark: Mark = "failed" if one["type"] in _SEVERE else "warned"
        yield Finding(mark, subject, f"{one['type']}: {one['message']}")
    if conditions and not bad:
        counts = status.get("replicas") or {}
        yield Finding("passed", subject, f"{counts.get('ready')} of {counts.get('total')} pods are ready")
    yield from _missed(subject, conditions)
    tried = facts.tried.get(key)
    if isinstance(tried, Unknown):
        yield Finding("warned", subject, f"whether a new pod gets the sidecar could not be tried: {tried.reason}")
    elif tried:
        yield Finding("failed", subject, f"a new pod would get no sidecar: {tried}")
    elif tried is not None:
        yield Finding("passed", subject, "a new pod gets the sidecar")


def _missed(subject: str, conditions: Iterable[Body]) -> Iterator[Finding]:
    """Find callers that go past their sidecar: of pods that all have one, the condition says so at its end."""
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
        fix = "; ".join(sorted({pod.restart for pod in those} - {""}))
        yield Finding("warned", "pods", f"with sidecars of {version}, not {current}: {len(those)}; {fix}")


def _crossing(facts: Facts) -> Iterator[Finding]:
    """Find pods that name a TcpService of another namespace, and are not told of it, or one that is not there."""
    if isinstance(facts.pods, Unknown) or isinstance(facts.services, Unknown):
        return
    names = {f"{body['metadata']['name']}.{body['metadata']['namespace']}" for body in facts.services}
    for seen in facts.pods:
        called = {".".join(reversed(key)) for key in seen.pod.called() or ()}
        for name in sorted(called - names) if not seen.pod.leaving else ():
            service, _, namespace = name.partition(".")
            text = f"there is no TcpService {service} in {namespace}, which its annotation {CALLS} names"
            yield Finding("warned", "/".join(seen.pod.key), text)
        for name in sorted((seen.words & names) - called):
            if name.partition(".")[2] != seen.pod.key[0]:
                yield Finding(
                    "warned", "/".join(seen.pod.key), f"it seems to call {name} past its sidecar; "
                    f'let its template have the label {GROUP}/inject: enabled and the annotation {CALLS}: "{name}"',
                )  # fmt: skip


_LOOKS: Final[tuple[Callable[[Facts], Iterator[Finding]], ...]] = (
    _kubernetes, _definition, _webhook, _reached, _failures, _operator, _leader, _rights, _services, _pods, _crossing,
)  # fmt: skip
