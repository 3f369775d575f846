"""The facts of a cluster that `checking` judges, asked with the rights of whoever types `tcpservice check`.

A question that is not answered is a fact, too: the reason stands in place of the answer.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Iterator
from datetime import datetime
from typing import Any, Final, TypeVar

from tcpservice.spec.schema import GROUP
from tcpservice_operator import crd
from tcpservice_operator.authority import end_of
from tcpservice_operator.cluster import PLURAL, VERSION, ApiError, Cluster
from tcpservice_operator.facts import Facts, Seen, Unknown
from tcpservice_operator.injection import INJECTED
from tcpservice_operator.objects import LEASE, NOT_INJECTED, SIDECAR, WEBHOOK, Body, Key, has_ended, read_pod
from tcpservice_operator.rbac import AT_HOME, EVERYWHERE, Rule

T = TypeVar("T")

HOME: Final = "tcpservice-system"
_SERVICE_ACCOUNT: Final = "tcpservice-operator"
_SERVICE: Final = "tcpservice-operator"
_FAILED_OPEN: Final = re.compile(
    r'^apiserver_admission_webhook_fail_open_count\{name="inject\.tcpservice\.dev".*\} ([0-9.e+]+)$', re.MULTILINE
)
_NAMES: Final = re.compile(r"[a-z0-9][a-z0-9-]*\.[a-z0-9][a-z0-9-]*")
_ADMISSION: Final = ("apis", "admissionregistration.k8s.io", "v1")
_EXTENSIONS: Final = ("apis", "apiextensions.k8s.io", "v1")
_MISSING: Final = 404
_MAY_NOT: Final = (401, 403)
_RESTRICTED: Final = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


async def survey(cluster: Cluster) -> Facts:
    """Ask all there is to ask. Raises ApiError where the API server does not say as much as its version."""
    version = await cluster.version()
    webhook = await _found(cluster, *_ADMISSION, "mutatingwebhookconfigurations", WEBHOOK)
    home = _home(webhook)
    services = await _or_unknown(_services(cluster))
    return Facts(
        now=await cluster.time(),
        version=version,
        definition=await _found(cluster, *_EXTENSIONS, "customresourcedefinitions", crd.NAME),
        webhook=webhook,
        operator=await _found(cluster, "apis", "apps", "v1", "namespaces", home, "deployments", _SERVICE),
        lease=await _found(cluster, "apis", "coordination.k8s.io", "v1", "namespaces", home, "leases", LEASE),
        trusted=_trusted(webhook),
        unreached=await _unreached(cluster, webhook),
        denied=await _or_unknown(_denied(cluster, home)),
        unanswered=await _or_unknown(_unanswered(cluster)),
        services=services,
        tried={} if isinstance(services, Unknown) else await _try_all(cluster, services),
        pods=await _or_unknown(_pods(cluster)),
    )


def _home(webhook: Body | Unknown | None) -> str:
    """Return the operator's namespace, which the webhook's configuration names."""
    if webhook is None or isinstance(webhook, Unknown):
        return HOME
    service: Body = next((hook["clientConfig"].get("service") or {} for hook in webhook["webhooks"]), {})
    namespace: str = service.get("namespace", HOME)
    return namespace


def _trusted(webhook: Body | Unknown | None) -> datetime | Unknown:
    """Return until when the API server can go on trusting the webhook."""
    hooks = [] if webhook is None or isinstance(webhook, Unknown) else webhook["webhooks"]
    try:
        return end_of(base64.b64decode(next(hook["clientConfig"].get("caBundle") or "" for hook in hooks)).decode())
    except (ValueError, StopIteration) as error:
        return Unknown(f"what the API server trusts cannot be read: {error}")


async def _unreached(cluster: Cluster, webhook: Body | Unknown | None) -> str | Unknown | None:
    """Ask a copy of the operator how it is, through the API server, as pods that are created do."""
    if webhook is None or isinstance(webhook, Unknown):
        return None
    home = _home(webhook)
    try:
        service = f"http:{_SERVICE}:health"
        await cluster.ask_text("api", "v1", "namespaces", home, "services", service, "proxy", "readyz")
    except ApiError as error:
        if error.status in _MAY_NOT:
            return Unknown(f"whether the API server comes through to the operator is not known: {error}")
        return f"{error}; look at it: kubectl get pods,endpointslices,networkpolicies -n {home}"
    return ""


async def _or_unknown(asking: Awaitable[T]) -> T | Unknown:
    try:
        return await asking
    except ApiError as error:
        return Unknown(str(error))


async def _found(cluster: Cluster, *path: str) -> Body | Unknown | None:
    try:
        return await cluster.ask(*path)
    except ApiError as error:
        return None if error.status == _MISSING else Unknown(str(error))


async def _services(cluster: Cluster) -> tuple[Body, ...]:
    """Return the TcpServices, but for those of namespaces that are just going."""
    found = (await cluster.ask("apis", GROUP, VERSION, PLURAL))["items"]
    spaces = (await cluster.ask("api", "v1", "namespaces"))["items"]
    going = {each["metadata"]["name"] for each in spaces if "deletionTimestamp" in each["metadata"]}
    staying = (body for body in found if body["metadata"]["namespace"] not in going)
    return tuple(sorted(staying, key=lambda body: (body["metadata"]["namespace"], body["metadata"]["name"])))


async def _denied(cluster: Cluster, home: str) -> tuple[str, ...]:
    """Ask for each right of the operator whether it has it."""
    rights = [(rule, "") for rule in EVERYWHERE] + [(rule, home) for rule in AT_HOME]
    return tuple([words for rule, namespace in rights async for words in _missing(cluster, rule, namespace, home)])


async def _missing(cluster: Cluster, rule: Rule, namespace: str, home: str) -> Any:
    for verb in rule["verbs"]:
        (resource, _, part), (group,) = rule["resources"][0].partition("/"), rule["apiGroups"]
        attributes = {"group": group, "resource": resource, "subresource": part, "verb": verb}
        attributes |= {"namespace": namespace, "name": next(iter(rule.get("resourceNames", [])), "")}
        user = f"system:serviceaccount:{home}:{_SERVICE_ACCOUNT}"
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{home}", "system:authenticated"]
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
        }
        answer = await cluster.ask("apis", "authorization.k8s.io", "v1", "subjectaccessreviews", post=review)
        if not answer["status"]["allowed"]:
            yield f"{verb} {rule['resources'][0]}"


async def _unanswered(cluster: Cluster) -> int:
    found = _FAILED_OPEN.findall(await cluster.ask_text("metrics"))
    return int(sum(map(float, found)))


async def _try_all(cluster: Cluster, services: tuple[Body, ...]) -> dict[Key, str | Unknown]:
    tried: dict[Key, str | Unknown] = {}
    for body in services:
        if body["spec"].get("selector"):
            key = (body["metadata"]["namespace"], body["metadata"]["name"])
            tried[key] = await _or_unknown(_try(cluster, body))
    return tried


async def _try(cluster: Cluster, service: Body) -> str:
    """Ask what a pod of a TcpService would become, without making it: the API server asks the webhook."""
    namespace, spec = service["metadata"]["namespace"], service["spec"]
    port: dict[str, Any] = {"containerPort": spec["port"]}
    if isinstance(spec.get("targetPort"), str):
        port["name"] = spec["targetPort"]
    container = {"name": "app", "image": "none", "ports": [port], "securityContext": _RESTRICTED}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "tcpservice-check-", "labels": spec["selector"]},
        "spec": {"containers": [container]},
    }
    made = await cluster.ask("api", "v1", "namespaces", namespace, "pods", query={"dryRun": "All"}, post=pod)
    if any(each["name"] == SIDECAR for each in made["spec"].get("initContainers") or []):
        return ""
    reason: str = (made["metadata"].get("annotations") or {}).get(NOT_INJECTED, "")
    return reason or "the API server did not ask the webhook for this namespace, or nobody answered"


async def _pods(cluster: Cluster) -> tuple[Seen, ...]:
    return tuple([_seen(body) async for page in cluster.pages("pods") for body in page.items if not has_ended(body)])


def _seen(body: Body) -> Seen:
    version = (body["metadata"].get("annotations") or {}).get(INJECTED, "")
    words = frozenset(name for text in _texts(body) for name in _NAMES.findall(text))
    return Seen(pod=read_pod(body), version=version, words=words)


def _texts(body: Body) -> Iterator[str]:
    """Give what the containers of a pod are given, where services are named."""
    for container in body["spec"]["containers"]:
        yield from (*(container.get("command") or ()), *(container.get("args") or ()))
        yield from (str(variable.get("value") or "") for variable in container.get("env") or ())
