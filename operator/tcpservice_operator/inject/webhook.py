"""The admission webhook that adds the sidecar to pods while they are created.

Used by `http.servers`, in every replica of the operator. The webhook admits every pod. A pod that cannot have a sidecar
gets an annotation with the reason, and an internal error is logged. Any pod can send a review, so the webhook validates
and bounds each review before it uses it (`review_limits`), and a response contains nothing that the client may not
know.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

import jsonpatch
import msgspec
import orjson
from aiohttp import web
from msgspec import Meta, Struct

from tcpservice.spec.leaves import Label
from tcpservice_operator.api.names import CA_NAME, NOT_INJECTED
from tcpservice_operator.api.operator_metrics import OperatorMetrics
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.cache.pod_roles import Roles
from tcpservice_operator.cache.pod_views import roles_of
from tcpservice_operator.inject.pod_patch import inject
from tcpservice_operator.inject.resource_fit import NO_RULES, NamespaceRules
from tcpservice_operator.inject.review_limits import LARGEST, READ_S, ReviewBudget, ReviewRefused, TooLarge
from tcpservice_operator.inject.sidecar_options import Options
from tcpservice_operator.kube.kube_client import ApiError
from tcpservice_operator.kube.turns import Turns

PATH: Final = "/v1/inject"
READ_NOW_S: Final = 2.0
_BUNDLE_S: Final = 1.0
_RULES_S: Final = 1.0
_PAUSES_S: Final = (0.0, 0.2, 0.3, 0.5)
_LOGGER: Final = logging.getLogger("tcpservice.operator")

Document = dict[str, Any]


class _Kind(Struct, frozen=True):
    """The kind of the object under review."""

    group: str = ""
    kind: str = "Pod"


class _Asked(Struct, frozen=True):
    """The fields of an AdmissionReview's request that the webhook reads."""

    uid: Annotated[str, Meta(min_length=1, max_length=128)]
    namespace: Label
    object: Document
    kind: _Kind = _Kind()
    dryRun: bool = False  # noqa: N815 - the name of Kubernetes


class _Review(Struct, frozen=True):
    """An AdmissionReview."""

    request: _Asked


async def no_rules(_: str) -> NamespaceRules:
    """Return the rules of a namespace without any."""
    return NO_RULES


class Webhook:
    """Answers AdmissionReviews.

    `read_now` returns the state with the TcpServices and Services that the API server has now in a namespace. The
    watches may not have reported them yet, because one `kubectl apply` can create TcpServices and pods. `ensure_bundle`
    writes the ConfigMap that the pods of a namespace mount. `read_rules` returns the LimitRanges and ResourceQuotas of
    a namespace. `read_now_seconds` limits how long `read_now` may take, `read_seconds` how long a client may take to
    send a body.
    """

    def __init__(
        self,
        state: ClusterState,
        options: Options,
        read_now: Callable[[str], Awaitable[ClusterState]],
        ensure_bundle: Callable[[str], Awaitable[None]],
        read_rules: Callable[[str], Awaitable[NamespaceRules]] = no_rules,
        read_now_seconds: float = READ_NOW_S,
        read_seconds: float = READ_S,
        metrics: OperatorMetrics | None = None,
    ) -> None:
        self._state = state
        self._options = options
        self._read_now = read_now
        self._ensure_bundle = ensure_bundle
        self._read_rules = read_rules
        self._read_now_seconds = read_now_seconds
        self._budget = ReviewBudget(read=read_seconds)
        self._turns = Turns()
        self._metrics = metrics or OperatorMetrics()

    async def review(self, request: web.BaseRequest) -> web.Response:
        """Answer one AdmissionReview."""
        began = time.perf_counter()
        outcome, response = await self._outcome_of(request)
        self._metrics.reviews.labels(outcome).observe(time.perf_counter() - began)
        return response

    async def _outcome_of(self, request: web.BaseRequest) -> tuple[str, web.Response]:
        client = request.remote or ""
        if (request.content_length or 0) > LARGEST:
            return "dropped", _closing(413, f"the admission review is larger than {LARGEST} bytes")
        try:
            async with self._budget.enter(client) as place:
                body = await place.read(request.content.iter_any())
                return await self._answer_to(body, client)
        except TooLarge:
            return "dropped", _closing(413, f"the admission review is larger than {LARGEST} bytes")
        except ReviewRefused as error:
            return "dropped", _closing(503, str(error))

    async def _answer_to(self, body: bytes, client: str) -> tuple[str, web.Response]:
        """Return the outcome, for the metrics, and the response."""
        try:
            asked = msgspec.json.decode(body, type=_Review).request
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            text = f"expected an AdmissionReview (admission.k8s.io/v1) with a request: {error}\n"
            return "failed", web.Response(status=400, text=text)
        answer: Document = {"uid": asked.uid, "allowed": True}
        outcome = "left_alone"
        try:
            if asked.kind == _Kind():
                outcome, patch = await self._decide(asked.namespace, asked.object, client, dry_run=asked.dryRun)
                answer |= patch
        except Exception:
            outcome = "failed"
            _LOGGER.exception(
                "admitted a pod of namespace %s without a sidecar, because of an internal error", asked.namespace
            )
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
        return outcome, web.Response(body=orjson.dumps(review), content_type="application/json")

    async def answer(self, namespace: str, pod: Document, client: str = "", *, dry_run: bool = False) -> Document:
        """Return the patch for a pod and its warnings. `client` is the address of the client, for fair turns.

        A `dry_run` has no effect but this answer, as the webhook's configuration promises (`sideEffects: None`).
        """
        _, patch = await self._decide(namespace, pod, client, dry_run=dry_run)
        return patch

    async def _decide(self, namespace: str, pod: Document, client: str, *, dry_run: bool) -> tuple[str, Document]:
        """Return the outcome, for the metrics, and the patch with its warnings."""
        before = {**pod, "metadata": {**pod["metadata"], "namespace": namespace}}
        roles = await self._roles_of(before, namespace, client)
        if not roles:
            return "left_alone", {}
        done = inject(before, roles, self._options, await self._rules_of(namespace))
        if not done.reason and not dry_run:
            await self._ensure_mountable(namespace)
        outcome = "left_alone" if done.reason else "injected"
        after = _with_reason(before, done.reason) if done.reason else done.pod
        operations = jsonpatch.make_patch(before, after).patch
        if not operations:
            return outcome, {}
        text = base64.b64encode(orjson.dumps(operations)).decode()
        notes = (f"no sidecar, because {done.reason}",) if done.reason else done.notes
        warnings = [f"tcpservice: {note}"[:250] for note in notes]
        return outcome, {"patchType": "JSONPatch", "patch": text, "warnings": warnings}

    async def _roles_of(self, pod: Document, namespace: str, client: str) -> Roles:
        """Return the roles of a pod by what the API server has now, or by the cache if the API server is too slow.

        The webhook waits up to `read_now_seconds` for TcpServices of the pod's annotation that do not exist, because
        one `kubectl apply` creates the objects in the order of its files, and some follow the pods.
        """
        roles = roles_of(self._state, pod, namespace)
        try:
            async with asyncio.timeout(self._read_now_seconds):
                for pause in _PAUSES_S:
                    await asyncio.sleep(pause)
                    async with self._turns.turn(client):
                        roles = roles_of(await self._read_now(namespace), pod, namespace)
                    if not roles.unknown:
                        break
        except (ApiError, TimeoutError) as error:
            _LOGGER.warning(
                "could not read TcpServices and Services of namespace %s for a new pod, using the cache: %s",
                namespace, str(error) or "no response in time",
            )  # fmt: skip
        return roles

    async def _rules_of(self, namespace: str) -> NamespaceRules:
        """Return the rules of a namespace; none if the API server is too slow."""
        try:
            async with asyncio.timeout(_RULES_S):
                return await self._read_rules(namespace)
        except (ApiError, TimeoutError) as error:
            text = str(error) or "no response in time"
            _LOGGER.warning("could not read LimitRanges and ResourceQuotas of namespace %s: %s", namespace, text)
        return NO_RULES

    async def _ensure_mountable(self, namespace: str) -> None:
        """Write the ConfigMap of the namespace. If that takes too long, the pod is admitted anyway."""
        try:
            async with asyncio.timeout(_BUNDLE_S):
                await self._ensure_bundle(namespace)
        except (ApiError, TimeoutError) as error:
            text = str(error) or "no response in time"
            _LOGGER.warning("could not write ConfigMap %s/%s before a new pod needs it: %s", namespace, CA_NAME, text)


def _closing(status: int, text: str) -> web.Response:
    """Refuse a request and close its connection, because its body may be unread."""
    response = web.Response(status=status, text=f"{text}\n")
    response.force_close()
    return response


def _with_reason(pod: Document, reason: str) -> Document:
    annotations = {**(pod["metadata"].get("annotations") or {}), NOT_INJECTED: reason}
    return {**pod, "metadata": {**pod["metadata"], "annotations": annotations}}
