"""The webhook that gives pods their sidecar while they are created.

Used by `serving`, in every copy of the operator. Whatever happens, the pod is admitted: one that cannot have a sidecar
says why in an annotation, and what goes wrong here is a line in the log. Any pod can send a review: what comes is
checked and bounded before it is used (`admission`), and an answer tells nothing that the client could not use.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

import msgspec
import orjson
from aiohttp import web
from msgspec import Meta, Struct

from tcpservice.spec.leaves import Label
from tcpservice_operator.admission import LARGEST, READ_S, Admission, Refused, TooLarge, Turns
from tcpservice_operator.cluster import ApiError
from tcpservice_operator.injection import inject
from tcpservice_operator.objects import NOT_INJECTED, TRUST
from tcpservice_operator.options import Options
from tcpservice_operator.patching import patch
from tcpservice_operator.roles import Roles
from tcpservice_operator.state import State
from tcpservice_operator.views import roles_of

PATH: Final = "/v1/inject"
LOOK_S: Final = 2.0
_TELL_S: Final = 1.0
_PAUSES_S: Final = (0.0, 0.2, 0.3, 0.5)
_LOGGER: Final = logging.getLogger("tcpservice.operator")

Document = dict[str, Any]


class _Kind(Struct, frozen=True):
    """What a review is about, in Kubernetes' terms."""

    group: str = ""
    kind: str = "Pod"


class _Asked(Struct, frozen=True):
    """The request of an AdmissionReview, as far as the webhook reads it."""

    uid: Annotated[str, Meta(min_length=1, max_length=128)]
    namespace: Label
    object: Document
    kind: _Kind = _Kind()


class _Review(Struct, frozen=True):
    """An AdmissionReview."""

    request: _Asked


class Webhook:
    """Answers AdmissionReviews.

    `look` returns the state with a namespace as the API server has it: TcpServices may be younger than any event, as
    one `kubectl apply` makes pods, too. `tell` lets a namespace have what its pods mount.
    """

    def __init__(
        self,
        state: State,
        options: Options,
        look: Callable[[str], Awaitable[State]],
        tell: Callable[[str], Awaitable[None]],
        look_seconds: float = LOOK_S,
        read_seconds: float = READ_S,
    ) -> None:
        self._state = state
        self._options = options
        self._look = look
        self._tell = tell
        self._look_seconds = look_seconds
        self._admission = Admission(read=read_seconds)
        self._turns = Turns()

    @property
    def refused(self) -> int:
        """How many reviews were too slow, or more than there was room for."""
        return self._admission.refused

    async def review(self, request: web.BaseRequest) -> web.Response:
        """Answer one AdmissionReview."""
        client = request.remote or ""
        if (request.content_length or 0) > LARGEST:
            return _closing(413, "the review is too large")
        try:
            async with self._admission.enter(client) as place:
                body = await place.read(request.content.iter_any())
                return await self._answer_to(body, client)
        except TooLarge:
            return _closing(413, "the review is too large")
        except Refused as error:
            return _closing(503, str(error))

    async def _answer_to(self, body: bytes, client: str) -> web.Response:
        try:
            asked = msgspec.json.decode(body, type=_Review).request
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            text = f"expected an AdmissionReview (admission.k8s.io/v1) with a request: {error}\n"
            return web.Response(status=400, text=text)
        answer: Document = {"uid": asked.uid, "allowed": True}
        try:
            if asked.kind == _Kind():
                answer |= await self.answer(asked.namespace, asked.object, client)
        except Exception:
            _LOGGER.exception("a pod of %s is admitted as it is", asked.namespace)
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
        return web.Response(body=orjson.dumps(review), content_type="application/json")

    async def answer(self, namespace: str, pod: Document, client: str = "") -> Document:
        """Return the patch for a pod of a namespace, and the warnings about it; clients have turns by their address."""
        before = {**pod, "metadata": {**pod["metadata"], "namespace": namespace}}
        roles = await self._roles_of(before, namespace, client)
        if not roles:
            return {}
        done = inject(before, roles, self._options)
        if not done.reason:
            await self._let_mount(namespace)
        after = _with_reason(before, done.reason) if done.reason else done.pod
        operations = list(patch(before, after))
        if not operations:
            return {}
        text = base64.b64encode(orjson.dumps(operations)).decode()
        notes = (f"no sidecar, as {done.reason}",) if done.reason else done.notes
        return {"patchType": "JSONPatch", "patch": text, "warnings": [f"tcpservice: {note}"[:250] for note in notes]}

    async def _roles_of(self, pod: Document, namespace: str, client: str) -> Roles:
        """Return what a pod serves and calls by what the API server has now, by what is known where that takes long.

        Those that it calls by name are waited for a little: one `kubectl apply` makes a folder's objects in the order
        of its files, some of them after the pods. So are the first EndpointSlices of a TcpService that was just made.
        """
        roles = roles_of(self._state, pod, namespace)
        try:
            async with asyncio.timeout(self._look_seconds):
                for pause in _PAUSES_S:
                    await asyncio.sleep(pause)
                    async with self._turns.turn(client):
                        roles = roles_of(await self._look(namespace), pod, namespace)
                    if not roles.unknown and not roles.pending:
                        break
        except (ApiError, TimeoutError) as error:
            _LOGGER.warning(
                "a pod of %s is looked up in what is known: %s", namespace, str(error) or "no answer in time"
            )
        return roles

    async def _let_mount(self, namespace: str) -> None:
        """Have the namespace's ConfigMap made; a pod does without it where that takes long."""
        try:
            async with asyncio.timeout(_TELL_S):
                await self._tell(namespace)
        except (ApiError, TimeoutError) as error:
            _LOGGER.warning("pods of %s may have to wait for the ConfigMap %s: %s", namespace, TRUST, error)


def _closing(status: int, text: str) -> web.Response:
    """Refuse a request, whose body may not have been read."""
    response = web.Response(status=status, text=f"{text}\n")
    response.force_close()
    return response


def _with_reason(pod: Document, reason: str) -> Document:
    annotations = {**(pod["metadata"].get("annotations") or {}), NOT_INJECTED: reason}
    return {**pod, "metadata": {**pod["metadata"], "annotations": annotations}}
