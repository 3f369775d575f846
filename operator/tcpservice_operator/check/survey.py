"""Asks a cluster for the facts that `findings` judges, with the rights of the user of `tcpservice check`.

Used by `tcpservice check`. If a request fails, the fact is `Unknown`, with the reason.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from tcpservice_operator.api import crd
from tcpservice_operator.api.names import LEASE_NAME, NOT_INJECTED, PLURAL, SIDECAR_CONTAINER, WEBHOOK_NAME
from tcpservice_operator.api.plain_objects import Body, Key
from tcpservice_operator.api.rbac import AT_HOME, IN_NAMESPACES, Rule, cluster_wide
from tcpservice_operator.cache.objects import has_ended, read_pod
from tcpservice_operator.check.facts import Facts, SeenPod, Unknown
from tcpservice_operator.identity.authority import end_of
from tcpservice_operator.inject.pod_patch import INJECTED
from tcpservice_operator.inject.pod_ports import ADMIN
from tcpservice_operator.kube.kube_client import ApiError, KubeClient

T = TypeVar("T")

HOME: Final = "tcpservice-system"
_SERVICE_ACCOUNT: Final = "tcpservice-operator"
_SERVICE: Final = "tcpservice-operator"
_FAILED_OPEN: Final = re.compile(
    r'^apiserver_admission_webhook_fail_open_count\{name="inject\.tcpservice\.dev".*\} ([0-9.e+]+)$', re.MULTILINE
)
_FORM: Final = re.compile(r'^tcpservice_build_info\{.*implementation="(\w+)"', re.MULTILINE)
_ASKED_PODS: Final = 3
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


async def survey(cluster: KubeClient) -> Facts:
    """Return all facts. Raises ApiError if the API server does not even return its version."""
    version = await cluster.version()
    webhook = await _found(cluster, *_ADMISSION, "mutatingwebhookconfigurations", WEBHOOK_NAME)
    home = _home(webhook)
    operator = await _found(cluster, "apis", "apps", "v1", "namespaces", home, "deployments", _SERVICE)
    watched = _watched(operator)
    services = await _or_unknown(_services(cluster, watched))
    pods = await _or_unknown(_pods(cluster, watched))
    return Facts(
        now=await cluster.time(),
        version=version,
        definition=await _found(cluster, *_EXTENSIONS, "customresourcedefinitions", crd.NAME),
        webhook=webhook,
        operator=operator,
        lease=await _found(cluster, "apis", "coordination.k8s.io", "v1", "namespaces", home, "leases", LEASE_NAME),
        trusted=_trusted(webhook),
        unreached=await _unreached(cluster, webhook),
        denied=await _or_unknown(_denied(cluster, home, watched)),
        unanswered=await _or_unknown(_unanswered(cluster)),
        services=services,
        tried={} if isinstance(services, Unknown) else await _try_all(cluster, services),
        pods=pods,
        forms={} if isinstance(pods, Unknown) else await _forms(cluster, pods),
    )


def _home(webhook: Body | Unknown | None) -> str:
    """Return the operator's namespace, from the webhook's configuration."""
    return _service_of(webhook)[0]


def _service_of(webhook: Body | Unknown | None) -> Key:
    """Return the Service by which the API server reaches the webhook, from its configuration."""
    if webhook is None or isinstance(webhook, Unknown):
        return HOME, _SERVICE
    service: Body = next((hook["clientConfig"].get("service") or {} for hook in webhook["webhooks"]), {})
    return service.get("namespace", HOME), service.get("name", _SERVICE)


def _watched(operator: Body | Unknown | None) -> tuple[str, ...]:
    """Return the namespaces that the operator watches, from its Deployment; none: all."""
    if operator is None or isinstance(operator, Unknown):
        return ()
    flags = (flag for each in operator["spec"]["template"]["spec"]["containers"] for flag in each.get("args") or [])
    names = next((flag.partition("=")[2] for flag in flags if flag.startswith("--watch-namespaces=")), "")
    return tuple(names.split(",")) if names else ()


def _trusted(webhook: Body | Unknown | None) -> datetime | Unknown:
    """Return when the bundle in the webhook's configuration expires."""
    hooks = [] if webhook is None or isinstance(webhook, Unknown) else webhook["webhooks"]
    try:
        return end_of(base64.b64decode(next(hook["clientConfig"].get("caBundle") or "" for hook in hooks)).decode())
    except (ValueError, StopIteration) as error:
        return Unknown(f"Cannot read the caBundle of the webhook: {error}")


async def _unreached(cluster: KubeClient, webhook: Body | Unknown | None) -> str | Unknown | None:
    """Return why the API server does not reach the operator's health port through its Service; empty if it does."""
    if webhook is None or isinstance(webhook, Unknown):
        return None
    home, service = _service_of(webhook)
    try:
        health = f"http:{service}:health"
        await cluster.ask_text("api", "v1", "namespaces", home, "services", health, "proxy", "readyz")
    except ApiError as error:
        if error.status in _MAY_NOT:
            return Unknown(f"Cannot test whether the API server can reach the operator: {error}")
        return f"{error}. To see why: kubectl get pods,endpointslices,networkpolicies -n {home}"
    return ""


async def _or_unknown(asking: Awaitable[T]) -> T | Unknown:
    try:
        return await asking
    except ApiError as error:
        return Unknown(str(error))


async def _found(cluster: KubeClient, *path: str) -> Body | Unknown | None:
    try:
        return await cluster.ask(*path)
    except ApiError as error:
        return None if error.status == _MISSING else Unknown(str(error))


async def _services(cluster: KubeClient, watched: Sequence[str]) -> tuple[Body, ...]:
    """Return the TcpServices of the watched namespaces, without those in namespaces that are being deleted."""
    found = await _list(cluster, PLURAL, watched)
    spaces = await _list(cluster, "namespaces", watched)
    going = {each["metadata"]["name"] for each in spaces if "deletionTimestamp" in each["metadata"]}
    staying = (body for body in found if body["metadata"]["namespace"] not in going)
    return tuple(sorted(staying, key=lambda body: (body["metadata"]["namespace"], body["metadata"]["name"])))


async def _list(cluster: KubeClient, plural: str, watched: Sequence[str]) -> list[Body]:
    return [body for each in watched or ("",) async for page in cluster.pages(plural, each) for body in page.items]


async def _denied(cluster: KubeClient, home: str, watched: Sequence[str]) -> tuple[str, ...]:
    """Return the rights that the operator lacks."""
    rights = [(rule, "") for each in watched or ("",) for rule in cluster_wide((each,) if each else ())]
    rights += [(rule, namespace) for namespace in watched or ("",) for rule in IN_NAMESPACES]
    rights += [(rule, home) for rule in AT_HOME]
    missing = [words for rule, namespace in rights async for words in _missing(cluster, rule, namespace, home)]
    return tuple(dict.fromkeys(missing))


async def _missing(cluster: KubeClient, rule: Rule, namespace: str, home: str) -> Any:
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
            where = f" in {namespace}" if namespace not in ("", home) else ""
            yield f"{verb} {rule['resources'][0]}{where}"


async def _unanswered(cluster: KubeClient) -> int:
    found = _FAILED_OPEN.findall(await cluster.ask_text("metrics"))
    return int(sum(map(float, found)))


async def _try_all(cluster: KubeClient, services: tuple[Body, ...]) -> dict[Key, str | Unknown]:
    tried: dict[Key, str | Unknown] = {}
    for body in services:
        if body["spec"].get("selector"):
            key = (body["metadata"]["namespace"], body["metadata"]["name"])
            tried[key] = await _or_unknown(_try(cluster, body))
    return tried


async def _try(cluster: KubeClient, service: Body) -> str:
    """Create a pod of a TcpService as a dry run; return why it gets no sidecar, empty if it gets one."""
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
    if any(each["name"] == SIDECAR_CONTAINER for each in made["spec"].get("initContainers") or []):
        return ""
    reason: str = (made["metadata"].get("annotations") or {}).get(NOT_INJECTED, "")
    return reason or "the API server did not call the webhook for this namespace, or the webhook did not respond"


async def _pods(cluster: KubeClient, watched: Sequence[str]) -> tuple[SeenPod, ...]:
    return tuple(_seen(body) for body in await _list(cluster, "pods", watched) if not has_ended(body))


async def _forms(cluster: KubeClient, pods: Sequence[SeenPod]) -> dict[Key, str]:
    """Ask a few sidecars through the API server in which form they run; one that cannot be asked is left out."""
    found = {}
    injected = [seen.pod for seen in pods if seen.version and seen.pod.ready and not seen.pod.leaving]
    for pod in injected[:_ASKED_PODS]:
        namespace, name = pod.key
        place = ("api", "v1", "namespaces", namespace, "pods", f"{name}:{ADMIN}", "proxy", "metrics")
        metrics = await _or_unknown(cluster.ask_text(*place))
        form = None if isinstance(metrics, Unknown) else _FORM.search(metrics)
        if form is not None:
            found[pod.key] = form[1]
    return found


def _seen(body: Body) -> SeenPod:
    version = (body["metadata"].get("annotations") or {}).get(INJECTED, "")
    words = frozenset(name for text in _texts(body) for name in _NAMES.findall(text))
    return SeenPod(pod=read_pod(body), version=version, words=words)


def _texts(body: Body) -> Iterator[str]:
    """Yield the texts of a pod's containers that may name a service: commands, arguments and variables."""
    for container in body["spec"]["containers"]:
        yield from (*(container.get("command") or ()), *(container.get("args") or ()))
        yield from (str(variable.get("value") or "") for variable in container.get("env") or ())
