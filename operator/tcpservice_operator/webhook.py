"""The webhook that gives pods their sidecar while they are created.

Used by `serving`, in every copy of the operator. Whatever happens, the pod is admitted: one that cannot have a sidecar
says why in an annotation, and what goes wrong here is a line in the log.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from aiohttp import web

from tcpservice_operator.cluster import ApiError
from tcpservice_operator.injection import inject
from tcpservice_operator.objects import NOT_INJECTED, TRUST
from tcpservice_operator.options import Options
from tcpservice_operator.patching import patch
from tcpservice_operator.roles import Roles
from tcpservice_operator.state import State
from tcpservice_operator.views import roles_of

PATH: Final = "/v1/inject"
LARGEST: Final = 4 << 20
_LOOK_S: Final = 2.0
_TELL_S: Final = 1.0
_PAUSES_S: Final = (0.0, 0.2, 0.3, 0.5)
_LOGGER: Final = logging.getLogger("tcpservice.operator")

Document = dict[str, Any]


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
    ) -> None:
        self._state = state
        self._options = options
        self._look = look
        self._tell = tell

    async def review(self, request: web.Request) -> web.Response:
        """Answer one AdmissionReview."""
        try:
            asked: Document = orjson.loads(await request.read())["request"]
            uid = asked["uid"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return web.Response(status=400, text="expected an AdmissionReview (admission.k8s.io/v1) with a request\n")
        answer: Document = {"uid": uid, "allowed": True}
        try:
            answer |= await self.answer(asked)
        except Exception:
            _LOGGER.exception("a pod of %s is admitted as it is", asked.get("namespace"))
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
        return web.Response(body=orjson.dumps(review), content_type="application/json")

    async def answer(self, asked: Document) -> Document:
        """Return the patch for a pod, and what is to be said of it."""
        pod, namespace = asked["object"], asked["namespace"]
        before = {**pod, "metadata": {**pod["metadata"], "namespace": namespace}}
        roles = await self._roles_of(before, namespace)
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

    async def _roles_of(self, pod: Document, namespace: str) -> Roles:
        """Return what a pod serves and calls by what the API server has now, by what is known where that takes long.

        Those that it calls by name are waited for a little: one `kubectl apply` makes a folder's objects in the order
        of its files, some of them after the pods.
        """
        roles = roles_of(self._state, pod, namespace)
        try:
            async with asyncio.timeout(_LOOK_S):
                for pause in _PAUSES_S:
                    await asyncio.sleep(pause)
                    roles = roles_of(await self._look(namespace), pod, namespace)
                    if not roles.unknown:
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


def _with_reason(pod: Document, reason: str) -> Document:
    annotations = {**(pod["metadata"].get("annotations") or {}), NOT_INJECTED: reason}
    return {**pod, "metadata": {**pod["metadata"], "annotations": annotations}}
