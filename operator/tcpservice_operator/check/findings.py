"""Judges the facts of a cluster: a finding has passed, warned or failed, with the command that fixes a problem.

Used by `tcpservice check`, after `survey`. It is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from tcpservice import __version__
from tcpservice.implementation import COMPILED
from tcpservice.spec.schema import GROUP
from tcpservice_operator.api import crd
from tcpservice_operator.api.kubernetes_versions import why_too_old
from tcpservice_operator.api.names import CALLS_ANNOTATION, WEBHOOK_NAME
from tcpservice_operator.api.plain_objects import Body
from tcpservice_operator.check.facts import Facts, Finding, Mark, Unknown
from tcpservice_operator.conditions.condition_types import SEVERE
from tcpservice_operator.conditions.evidence import count_of, ready_of

LEASE_LIFE: Final = timedelta(seconds=15)
SHORT: Final = timedelta(days=7)
_INSTALL: Final = (
    "helm upgrade --install tcpservice charts/tcpservice -n tcpservice-system --create-namespace "
    "--reset-then-reuse-values"
)
"""The path is that of the chart in a clone. With Helm 3.14 or newer, the values of an installation stay as they are."""


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
        yield Finding("failed", "CRD", f"The CRD {crd.NAME} does not exist. To install it: {_INSTALL}")
    elif _schemas(found) != _schemas(crd.definition()):
        text = f"The CRD differs from that of this command ({__version__}). To upgrade it: {_INSTALL}"
        yield Finding("warned", "CRD", text)
    else:
        yield Finding("passed", "CRD", f"The CRD {crd.NAME} has the version {__version__}.")


def _schemas(definition: Body) -> list[object]:
    return [version["schema"]["openAPIV3Schema"] for version in definition["spec"]["versions"]]


def _webhook(facts: Facts) -> Iterator[Finding]:
    found = facts.webhook
    if isinstance(found, Unknown):
        yield Finding("warned", "webhook", found.reason)
        return
    hooks = found["webhooks"] if found is not None else []
    if not hooks:
        text = f"The MutatingWebhookConfiguration {WEBHOOK_NAME} does not exist. To create it: {_INSTALL}"
        yield Finding("failed", "webhook", text)
        return
    if not hooks[0]["clientConfig"].get("caBundle"):
        text = f"The operator has not set the caBundle of the webhook. To see why: {_log_of(hooks[0])}"
        yield Finding("failed", "webhook", text)
    elif hooks[0].get("failurePolicy") != "Ignore":
        yield Finding(
            "warned",
            "webhook",
            "The failurePolicy of the webhook is not Ignore. While the operator does not respond, pods cannot be "
            "created.",
        )
    else:
        yield Finding("passed", "webhook", "The webhook is configured, and its caBundle is set.")
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
        return Finding("failed", "webhook", f"The caBundle of the webhook expired on {until}. To see why: {look}")
    if left < SHORT:
        text = f"The caBundle of the webhook expires on {until} and was not renewed. To see why: {look}"
        return Finding("warned", "webhook", text)
    return Finding("passed", "webhook", f"The caBundle of the webhook is valid until {until}.")


def _reached(facts: Facts) -> Iterator[Finding]:
    """Judge whether the API server reaches the operator."""
    if isinstance(facts.unreached, Unknown):
        yield Finding("warned", "webhook", facts.unreached.reason)
    elif facts.unreached:
        yield Finding("failed", "webhook", f"The API server cannot reach the operator: {facts.unreached}")
    elif facts.unreached is not None:
        yield Finding("passed", "webhook", "The API server can reach the operator.")


def _failures(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.unanswered, Unknown):
        text = f"Cannot read how often the webhook did not respond: {facts.unanswered.reason}"
        yield Finding("warned", "webhook", text)
    elif facts.unanswered:
        yield Finding(
            "warned",
            "webhook",
            f"The webhook did not respond {count_of(facts.unanswered, 'time')} since the API server started. Pods that "
            "were created then have no sidecar; the condition Injected reports them.",
        )


def _operator(facts: Facts) -> Iterator[Finding]:
    found = facts.operator
    if isinstance(found, Unknown):
        yield Finding("warned", "operator", found.reason)
    elif found is None:
        text = f"The Deployment tcpservice-operator does not exist. To create it: {_INSTALL}"
        yield Finding("failed", "operator", text)
    else:
        yield _replicas(found)
        version = _version_of(facts)
        if version != __version__:
            text = f"The operator has the version {version}, and this command has the version {__version__}."
            yield Finding("warned", "operator", f"{text} Use the same version of both.")


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
        count = ready_of(ready, desired, "replica")
        return Finding("failed" if not ready else "warned", "operator", f"{count}. To see why: {look}")
    if desired < 2:
        text = f"The operator has {count_of(desired, 'replica')}, but should have at least 2. To scale it: {scale}"
        return Finding("failed" if not desired else "warned", "operator", text)
    return Finding("passed", "operator", f"{ready} replicas are ready.")


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
        known = facts.operator["metadata"] if not isinstance(facts.operator, Unknown) else {}
        look = f"kubectl logs -n {known.get('namespace', 'tcpservice-system')} deployment/tcpservice-operator"
        text = "No replica of the operator is the leader, so the operator writes nothing."
        yield Finding("failed", "leader", f"{text} To see why: {look}")
    else:
        yield Finding("passed", "leader", f"{holder} is the leader.")


def _rights(facts: Facts) -> Iterator[Finding]:
    if facts.operator is None:
        return
    if isinstance(facts.denied, Unknown):
        yield Finding("warned", "rights", facts.denied.reason)
    elif facts.denied:
        text = f"The operator lacks the rights: {', '.join(facts.denied)}. To grant them: {_INSTALL}"
        yield Finding("failed", "rights", text)
    else:
        yield Finding("passed", "rights", "The operator has all required rights.")


def _services(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.services, Unknown):
        yield Finding("warned", "TcpServices", facts.services.reason)
        return
    if not facts.services:
        yield Finding("warned", "TcpServices", "There are no TcpServices yet.")
    for body in facts.services:
        yield from _service(body, facts)


def _service(body: Body, facts: Facts) -> Iterator[Finding]:
    key = (body["metadata"]["namespace"], body["metadata"]["name"])
    subject, status = "/".join(key), body.get("status") or {}
    conditions = status.get("conditions") or []
    if status.get("observedGeneration") != body["metadata"].get("generation"):
        yield Finding("warned", subject, "The operator has not reconciled the last change of this TcpService yet.")
    bad = [one for one in conditions if one["status"] == "False" and one["reason"] != "NotAccepted"]
    for one in bad:
        mark: Mark = "failed" if one["type"] in SEVERE else "warned"
        message = one["message"].partition("\n")[0]  # without the page, so that the line ends with the command
        yield Finding(mark, subject, f"{one['type']}: {message}")
    if conditions and not bad:
        counts = status.get("replicas") or {}
        yield Finding("passed", subject, f"{ready_of(counts.get('ready') or 0, counts.get('total') or 0)}.")
    yield from _missed(subject, conditions)
    tried = facts.tried.get(key)
    if isinstance(tried, Unknown):
        yield Finding("warned", subject, f"Cannot test whether a new pod gets the sidecar: {tried.reason}")
    elif tried:
        yield Finding("failed", subject, f"A new pod would get no sidecar, because {tried}.")
    elif tried is not None:
        yield Finding("passed", subject, "A new pod gets the sidecar.")


def _missed(subject: str, conditions: Iterable[Body]) -> Iterator[Finding]:
    """Find problems of callers: if all pods have the sidecar, they are the end of the message of Injected."""
    for one in conditions:
        callers = one["message"].partition(". ")[2]
        if (one["type"], one["status"]) == ("Injected", "True") and callers:
            yield Finding("warned", subject, callers)


def _pods(facts: Facts) -> Iterator[Finding]:
    if isinstance(facts.pods, Unknown):
        yield Finding("warned", "pods", facts.pods.reason)
        return
    for seen in facts.pods:
        if seen.pod.refused:
            yield Finding("warned", "/".join(seen.pod.key), f"The pod has no sidecar, because {seen.pod.refused}.")
    current = _version_of(facts)
    skewed = [seen for seen in facts.pods if seen.version not in ("", current) and not seen.pod.leaving]
    for version in sorted({seen.version for seen in skewed}):
        those = [seen.pod for seen in skewed if seen.version == version]
        fix = "; ".join(sorted({pod.restart_command for pod in those} - {""}))
        have = f"{count_of(len(those), 'pod')} {'has' if len(those) == 1 else 'have'}"
        text = f"{have} a sidecar of version {version}, but the operator has {current}."
        todo = f"To recreate the pods: {fix}" if fix else "Delete the pods to recreate them."
        yield Finding("warned", "pods", f"{text} {todo}")


def _forms(facts: Facts) -> Iterator[Finding]:
    """Find sidecars that run in plain Python; the images are compiled, so that is a mistake or a choice."""
    plain = sorted("/".join(key) for key, form in facts.forms.items() if form != COMPILED)
    if plain:
        text = f"The sidecar of {', '.join(plain)} runs in plain Python, which uses several times the CPU."
        fix = (
            "Remove TCPSERVICE_IMPL from the value sidecar.env, and build the image from the Dockerfile of the project."
        )
        yield Finding("warned", "pods", f"{text} {fix}")
    elif facts.forms:
        asked = count_of(len(facts.forms), "sidecar")
        yield Finding("passed", "pods", f"The message path is compiled. Asked: {asked}.")


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
                f"The annotation {CALLS_ANNOTATION} of the pod lists the TcpService {namespace}/{service}, which does "
                "not exist."
            )
            yield Finding("warned", "/".join(seen.pod.key), text)
        for name in sorted((seen.words & names) - called):
            if name.partition(".")[2] != seen.pod.key[0]:
                yield Finding(
                    "warned", "/".join(seen.pod.key), f"The pod seems to call {name} without a sidecar. To add one, "
                    f"set in the pod template the label {GROUP}/inject: enabled "
                    f'and the annotation {CALLS_ANNOTATION}: "{name}"',
                )  # fmt: skip


_JUDGES: Final[tuple[Callable[[Facts], Iterator[Finding]], ...]] = (
    _kubernetes, _definition, _webhook, _reached, _failures, _operator, _leader, _rights, _services, _pods, _forms,
    _crossing,
)  # fmt: skip
