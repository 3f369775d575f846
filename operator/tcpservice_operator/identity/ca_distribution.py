"""Keeps the operator's CA in a Secret, and distributes its bundle to pods and to the API server.

Used by `main`. The replica that leads creates and renews the CA. It writes the bundle to a ConfigMap in each namespace,
which pods mount. Each replica lets the API server trust it by the configuration of the webhook. Every replica signs its
own serving certificate and replaces it without a restart. If another program (cert-manager) issues the certificate, the
operator reads it from a folder and only distributes the bundle.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from tcpservice_operator.api.names import CA_NAME, FIELD_MANAGER, MANAGED_BY_LABEL, WEBHOOK_NAME
from tcpservice_operator.api.plain_objects import Body, Key
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.identity.authority import SERVING_LIFE, Authority, renewed, serve
from tcpservice_operator.identity.given_bundle import GivenBundle
from tcpservice_operator.identity.trusted_bundle import TrustedBundle
from tcpservice_operator.kube.kube_client import ApiError

CERTIFICATE: Final = "ca.crt"
GIVEN_CERTIFICATE, GIVEN_KEY = "tls.crt", "tls.key"
_SIGNERS: Final = "signers.json"
_SIGN_AGAIN: Final = SERVING_LIFE / 60
"""Twice a day, so that a new signer is used soon after it may sign."""

_SYNC_S: Final = 30.0
"""Within this time, a ConfigMap that was deleted or changed is restored."""

_RETRY_S: Final = 2.0
_TEMPORARY: Final = (409, 429)
_SERVER_ERROR: Final = 500
_LOGGER: Final = logging.getLogger("tcpservice.operator")


class Store(Protocol):
    """Reads and writes the objects. All methods raise ApiError."""

    async def read_secret(self, key: Key) -> Body | None:
        """Return a Secret, None if it does not exist."""

    async def write_secret(self, document: Body) -> None:
        """Create or replace a Secret. The status is 409 if another client changed it in between."""

    async def read_webhook(self, name: str) -> Body | None:
        """Return the webhook's configuration, None if it does not exist."""

    async def patch_webhook(self, name: str, operations: list[dict[str, Any]]) -> None:
        """Patch the webhook's configuration (JSON patch)."""

    async def list_config_maps(self, name: str, namespace: str) -> list[Body]:
        """Return the ConfigMaps of a name in a namespace, or in all ("")."""

    async def apply_config_map(self, document: Body) -> None:
        """Apply a ConfigMap."""


class Unusable(Exception):
    """A given certificate cannot be used; the text says why."""


class CaDistribution:
    """The certificates of one replica of the operator. `context` has its current serving certificate.

    `names` are the host names and addresses in the serving certificate. `now` returns the time. `given` is a folder
    with `tls.crt`, `tls.key` and `ca.crt` of another issuer, or None; the files are read again when they change.
    `watched` are the namespaces of the operator; none: all. `reviews` says that the API server sends reviews here.
    `ready` is set once there is a certificate, and `is_trusted` once the webhook's configuration has its bundle, or if
    there is no such configuration.
    """

    def __init__(
        self, state: ClusterState, store: Store, home: str, names: Sequence[str], may_write: Callable[[], bool],
        now: Callable[[], datetime], given: Path | None = None, watched: Sequence[str] = (), *, reviews: bool = True,
    ) -> None:  # fmt: skip
        self._state = state
        self._store = store
        self._key = (home, CA_NAME)
        self._names = names
        self._may_write = may_write
        self._now = now
        self._given = given
        self._watched = watched
        self._reviews = reviews
        self._served: tuple[Authority, datetime] | None = None
        self._loaded = ""
        self._given_bundle = GivenBundle()
        self._trusted = TrustedBundle()
        self._bundle = ""
        self._pushed: set[str] = set()
        self._failures: dict[str, str] = {}
        self._logged = ""
        self._requested = False
        self._wake = asyncio.Event()
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ready = asyncio.Event()
        self.is_trusted = False

    async def ensure_bundle(self, namespace: str) -> None:
        """Write the bundle to a namespace before a pod there mounts it. Raises ApiError.

        A kubelet that finds no ConfigMap retries only after a minute. Every replica may call this, because all
        replicas write the same bundle.
        """
        if self._bundle and namespace not in self._pushed:
            await self._store.apply_config_map(_config_map(namespace, self._bundle))
            self._pushed.add(namespace)

    def request_sync(self) -> None:
        """Request a sync, because this replica leads now."""
        self._requested = True
        self._wake.set()

    def namespace_created(self) -> None:
        """Request that new namespaces get the bundle, which costs one write for each and no read."""
        self._wake.set()

    async def run(self) -> None:
        """Sync every _SYNC_S, on request, and after a failure every _RETRY_S, without end."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._wake.clear()
            if self._requested or loop.time() >= due:
                self._requested = False
                due = loop.time() + (_SYNC_S if await self._sync() else _RETRY_S)
            else:
                await self._push_to_new_namespaces()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._wake.wait()

    async def _sync(self) -> bool:
        """Renew certificates and distribute the bundle once; return whether that succeeded."""
        try:
            bundle = await self._sign() if self._given is None else self._load_given(self._given)
            if bundle is None:
                return False
            self._bundle = self._bundle or bundle
            self.ready.set()
            merged = await self._push_to_webhook(bundle)
            if merged != self._bundle:
                self._bundle, self._pushed = merged, set()
            if self._may_write():
                await self._push_to_namespaces(merged)
        except (ApiError, Unusable) as error:
            self._warn(str(error))
            return False
        self._logged = ""
        return True

    def _warn(self, text: str) -> None:
        """Log a failure; log the same failure only once."""
        if text != self._logged:
            self._logged = text
            _LOGGER.warning("could not sync certificates, retrying every %g s: %s", _RETRY_S, text)

    async def _sign(self) -> str | None:
        """Sign a certificate with the operator's CA; return the bundle, None if there is no CA yet."""
        authority = await self._keep_authority()
        if authority is None:
            return None
        self._renew_serving(authority)
        return authority.bundle

    def _load_given(self, folder: Path) -> str:
        """Load the certificate of a folder; return its bundle. Raises Unusable."""
        try:
            files = {name: (folder / name).read_text("ascii") for name in (GIVEN_CERTIFICATE, GIVEN_KEY, CERTIFICATE)}
            self._given_bundle.replace(files[CERTIFICATE], self._now())
            if files[GIVEN_CERTIFICATE] != self._loaded and self._given_bundle.is_distributed(self._now()):
                self.context.load_cert_chain(folder / GIVEN_CERTIFICATE, folder / GIVEN_KEY)
                self._loaded = files[GIVEN_CERTIFICATE]
        except (OSError, ValueError) as error:
            raise Unusable(f"cannot use the certificate in {folder}: {error}") from error
        return self._given_bundle.text

    async def _keep_authority(self) -> Authority | None:
        """Return the CA. The leader creates or renews it; another replica returns None if there is none yet."""
        secret = await self._store.read_secret(self._key)
        stored = _read(secret)
        current = renewed(stored, self._now())
        if current == stored or not self._may_write():
            return stored
        await self._store.write_secret(_secret(self._key, current, secret))
        _LOGGER.info("created a new signer in the CA Secret %s/%s", *self._key)
        return current

    def _renew_serving(self, authority: Authority) -> None:
        """Sign a new serving certificate if the CA changed or the certificate is older than _SIGN_AGAIN."""
        now = self._now()
        if self._served is not None and self._served[0] == authority and now < self._served[1]:
            return
        certificate, key = serve(authority, self._names, now)
        with tempfile.TemporaryDirectory() as folder:
            (path := Path(folder) / "serving.pem").touch(mode=0o600)
            path.write_text(key + certificate)
            self.context.load_cert_chain(path)
        self._served = authority, now + _SIGN_AGAIN

    async def _push_to_webhook(self, bundle: str) -> str:
        """Let the API server trust this replica by the configuration of the webhook; return what clients should trust.

        Each replica with reviews does so, as the leader may have the certificate of another issuer (`trusted_bundle`).
        """
        if not self._reviews and not self._may_write():
            return bundle
        found = await self._store.read_webhook(WEBHOOK_NAME)
        hooks = (found or {}).get("webhooks") or []
        known = next((_decoded(hook["clientConfig"].get("caBundle") or "") for hook in hooks), "")
        merged = self._trusted.merge(bundle, known, self._now(), leads=self._may_write())
        value = base64.b64encode(merged.encode()).decode()
        operations = [
            {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": value}
            for index, hook in enumerate(hooks)
            if hook["clientConfig"].get("caBundle") != value
        ]
        if operations:
            await self._store.patch_webhook(WEBHOOK_NAME, operations)
        self.is_trusted = True
        return merged

    async def _push_to_namespaces(self, bundle: str) -> None:
        """Write the bundle where it is missing or wrong. Raises ApiError, at the end, if a retry may help."""
        found = [await self._store.list_config_maps(CA_NAME, each) for each in self._watched or ("",)]
        there = {body["metadata"]["namespace"]: body for body in chain.from_iterable(found)}
        data = _config_map("", bundle)["data"]
        current = {namespace for namespace, body in there.items() if body.get("data") == data}
        self._pushed = current & self._state.namespaces.keys()
        await self._push_to(sorted(self._state.namespaces.keys() - current), bundle)

    async def _push_to_new_namespaces(self) -> None:
        """Write the bundle to the namespaces that lack it; the next sync repeats what failed."""
        try:
            if self._bundle:
                await self._push_to(sorted(self._state.namespaces.keys() - self._pushed), self._bundle)
        except ApiError as error:
            self._warn(str(error))

    async def _push_to(self, namespaces: Sequence[str], bundle: str) -> None:
        """Write one ConfigMap after the other. One that the API server refuses does not stop the others."""
        temporary: ApiError | None = None
        for namespace in namespaces:
            if not self._may_write():
                return
            try:
                await self._store.apply_config_map(_config_map(namespace, bundle))
            except ApiError as error:
                self._refused(namespace, error)
                temporary = error if error.status in _TEMPORARY or error.status >= _SERVER_ERROR else temporary
            else:
                self._pushed.add(namespace)
                self._failures.pop(namespace, None)
        if temporary is not None:
            raise temporary

    def _refused(self, namespace: str, error: ApiError) -> None:
        """Log why a namespace has no bundle, once. Raises ApiError if there is no API server to ask for the others."""
        if not error.status:
            raise error
        known, self._failures[namespace] = self._failures.get(namespace), str(error)
        self._failures = {each: text for each, text in self._failures.items() if each in self._state.namespaces}
        if known != str(error) and namespace in self._state.namespaces:
            _LOGGER.warning(
                "could not write ConfigMap %s/%s, so sidecars of this namespace cannot verify the operator: %s; "
                "to let the operator create it again: kubectl delete configmap -n %s %s",
                namespace, CA_NAME, error, namespace, CA_NAME,
            )  # fmt: skip


def _decoded(text: str) -> str:
    """Return the text of a caBundle; empty if it is none."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return ""


def _read(secret: Body | None) -> Authority | None:
    """Read the CA from its Secret; invalid data counts as no CA, and is replaced."""
    try:
        text = msgspec.convert((secret or {}).get("data", {}).get(_SIGNERS, ""), bytes, strict=False)
        return msgspec.json.decode(text, type=Authority)
    except msgspec.MsgspecError:
        return None


def _secret(key: Key, authority: Authority, before: Body | None) -> dict[str, Any]:
    metadata = {"name": key[1], "namespace": key[0], "labels": {MANAGED_BY_LABEL: FIELD_MANAGER}}
    if before is not None:
        metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
    data = {CERTIFICATE: authority.bundle, _SIGNERS: msgspec.json.encode(authority).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "stringData": data}


def _config_map(namespace: str, bundle: str) -> dict[str, Any]:
    metadata = {"name": CA_NAME, "namespace": namespace, "labels": {MANAGED_BY_LABEL: FIELD_MANAGER}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {CERTIFICATE: bundle}}
