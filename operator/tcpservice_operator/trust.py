"""The operator's certificates in the cluster: the authority in a Secret, what verifies it in ConfigMaps everywhere.

Used by `app`. The copy that leads makes and renews the authority, and tells of it: in the ConfigMap of each namespace,
where pods mount it, and in the webhook's configuration. Every copy signs its own serving certificate, and changes it in
place, without a restart. Where somebody else makes the certificate (cert-manager), it is read from a folder, and only
told.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from tcpservice_operator.authority import SERVING_LIFE, Authority, renewed, serve
from tcpservice_operator.cluster import ApiError
from tcpservice_operator.objects import MANAGED_BY, OWNER, TRUST, WEBHOOK, Body, Key
from tcpservice_operator.state import State

CERTIFICATE: Final = "ca.crt"
GIVEN_CERTIFICATE, GIVEN_KEY = "tls.crt", "tls.key"
_SIGNERS: Final = "signers.json"
_SIGN_AGAIN: Final = SERVING_LIFE / 60
"""Twice a day, which also follows a new signer once it signs."""

_LOOK_S: Final = 60.0
_AGAIN_S: Final = 2.0
_LOGGER: Final = logging.getLogger("tcpservice.operator")


class Store(Protocol):
    """Where they are kept; all raise ApiError."""

    async def read_secret(self, key: Key) -> Body | None:
        """Return a Secret, None where there is none."""

    async def write_secret(self, document: Body) -> None:
        """Create or replace a Secret; where somebody else was quicker, the status is 409."""

    async def read_webhook(self, name: str) -> Body | None:
        """Return the webhook's configuration, None where there is none."""

    async def patch_webhook(self, name: str, operations: list[dict[str, Any]]) -> None:
        """Change it by a JSON patch."""

    async def list_config_maps(self, name: str) -> list[Body]:
        """Return the ConfigMaps of a name, of all namespaces."""

    async def apply_config_map(self, document: Body) -> None:
        """Make a ConfigMap what it should be."""


class Unusable(Exception):
    """A certificate that was given is not one; the text says why."""


class Trust:
    """One copy's certificates; `names` are those that sidecars call it by, `now` gives the time.

    `given` is a folder with `tls.crt`, `tls.key` and `ca.crt`, which are then used as they are, and read again when
    they change.
    """

    def __init__(
        self, state: State, store: Store, home: str, names: Sequence[str], may_write: Callable[[], bool],
        now: Callable[[], datetime], given: Path | None = None,
    ) -> None:  # fmt: skip
        self._state = state
        self._store = store
        self._key = (home, TRUST)
        self._names = names
        self._may_write = may_write
        self._now = now
        self._given = given
        self._served: tuple[Authority, datetime] | None = None
        self._loaded = ""
        self._bundle = ""
        self._told: set[str] = set()
        self._said = ""
        self._wake = asyncio.Event()
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ready = asyncio.Event()

    async def tell(self, namespace: str) -> None:
        """Let a namespace have what verifies this copy before a pod there wants to mount it; raises ApiError.

        A kubelet that finds no ConfigMap looks again only after a minute. Any copy may do this: all tell the same.
        """
        if self._bundle and namespace not in self._told:
            await self._store.apply_config_map(_config_map(namespace, self._bundle))
            self._told.add(namespace)

    def touch(self) -> None:
        """Look again soon: there is a new namespace, or this copy leads now."""
        self._wake.set()

    async def run(self) -> None:
        """Keep everything in line."""
        while True:
            self._wake.clear()
            pause = _LOOK_S if await self._look() else _AGAIN_S
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _look(self) -> bool:
        """Look at all once; return whether that was possible."""
        try:
            bundle = await self._sign() if self._given is None else self._take(self._given)
            if bundle is None:
                return False
            if bundle != self._bundle:
                self._bundle, self._told = bundle, set()
            self.ready.set()
            if self._may_write():
                await self._tell_api_server(bundle)
                await self._tell_everywhere(bundle)
        except (ApiError, Unusable) as error:
            self._warn(str(error))
            return False
        self._said = ""
        return True

    def _warn(self, text: str) -> None:
        """Say what is wrong, once."""
        if text != self._said:
            self._said = text
            _LOGGER.warning("certificates are looked at again each %g s: %s", _AGAIN_S, text)

    async def _sign(self) -> str | None:
        """Have a certificate of the own authority; return what verifies it, None where there is none yet."""
        authority = await self._keep_authority()
        if authority is None:
            return None
        self._serve(authority)
        return authority.bundle

    def _take(self, folder: Path) -> str:
        """Use the certificate of a folder; return what verifies it. Raises Unusable."""
        try:
            files = {name: (folder / name).read_text("ascii") for name in (GIVEN_CERTIFICATE, GIVEN_KEY, CERTIFICATE)}
            if files[GIVEN_CERTIFICATE] != self._loaded:
                self.context.load_cert_chain(folder / GIVEN_CERTIFICATE, folder / GIVEN_KEY)
                self._loaded = files[GIVEN_CERTIFICATE]
        except (OSError, ValueError) as error:
            raise Unusable(f"the certificate in {folder} cannot be used: {error}") from error
        return files[CERTIFICATE]

    async def _keep_authority(self) -> Authority | None:
        """Return the authority, made or renewed where this copy may; None where there is none yet."""
        secret = await self._store.read_secret(self._key)
        stored = _read(secret)
        wanted = renewed(stored, self._now())
        if wanted == stored or not self._may_write():
            return stored
        await self._store.write_secret(_secret(self._key, wanted, secret))
        _LOGGER.info("the authority %s/%s has a new signer", *self._key)
        return wanted

    def _serve(self, authority: Authority) -> None:
        """Have a serving certificate that is of this authority and young."""
        now = self._now()
        if self._served is not None and self._served[0] == authority and now < self._served[1]:
            return
        certificate, key = serve(authority, self._names, now)
        with tempfile.TemporaryDirectory() as folder:
            (path := Path(folder) / "serving.pem").touch(mode=0o600)
            path.write_text(key + certificate)
            self.context.load_cert_chain(path)
        self._served = authority, now + _SIGN_AGAIN

    async def _tell_api_server(self, verifying: str) -> None:
        """Let the API server trust the webhook, where it is installed and nobody else gives it a certificate."""
        found = await self._store.read_webhook(WEBHOOK)
        bundle = base64.b64encode(verifying.encode()).decode()
        operations = [
            {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": bundle}
            for index, hook in enumerate((found or {}).get("webhooks") or [])
            if hook["clientConfig"].get("caBundle") != bundle
        ]
        if operations:
            await self._store.patch_webhook(WEBHOOK, operations)

    async def _tell_everywhere(self, verifying: str) -> None:
        there = {body["metadata"]["namespace"]: body for body in await self._store.list_config_maps(TRUST)}
        for namespace in sorted(self._state.namespaces):
            document = _config_map(namespace, verifying)
            if not self._may_write():
                return
            if (there.get(namespace) or {}).get("data") != document["data"]:
                await self._apply(namespace, document)
        self._told = set(self._state.namespaces)

    async def _apply(self, namespace: str, document: dict[str, Any]) -> None:
        """Write one ConfigMap; a namespace that is just going is no reason to leave out the others."""
        try:
            await self._store.apply_config_map(document)
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            _LOGGER.info("the namespace %s has no ConfigMap %s: %s", namespace, TRUST, error)


def _read(secret: Body | None) -> Authority | None:
    """Read the authority; what is no authority counts as none, and is replaced."""
    try:
        text = msgspec.convert((secret or {}).get("data", {}).get(_SIGNERS, ""), bytes, strict=False)
        return msgspec.json.decode(text, type=Authority)
    except msgspec.MsgspecError:
        return None


def _secret(key: Key, authority: Authority, before: Body | None) -> dict[str, Any]:
    metadata = {"name": key[1], "namespace": key[0], "labels": {MANAGED_BY: OWNER}}
    if before is not None:
        metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
    data = {CERTIFICATE: authority.bundle, _SIGNERS: msgspec.json.encode(authority).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "stringData": data}


def _config_map(namespace: str, verifying: str) -> dict[str, Any]:
    metadata = {"name": TRUST, "namespace": namespace, "labels": {MANAGED_BY: OWNER}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {CERTIFICATE: verifying}}
