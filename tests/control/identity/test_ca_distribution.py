"""Certificates: made, told, renewed with overlap, and taken by TLS itself."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from control.objects import namespace
from tcpservice_operator.api.plain_objects import Body, Key
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.identity.authority import (
    LIFE,
    OVERLAP,
    RENEW_BEFORE,
    SERVING_LIFE,
    Authority,
    end_of,
    renewed,
    serve,
)
from tcpservice_operator.identity.ca_distribution import CaDistribution
from tcpservice_operator.identity.given_bundle import DISTRIBUTED_AFTER, KEPT
from tcpservice_operator.identity.trusted_bundle import OTHERS_KEPT
from tcpservice_operator.kube.kube_client import ApiError

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
NAMES = ("tcpservice-operator.system.svc", "127.0.0.1")


def handshake(bundle: str, context: ssl.SSLContext, name: str) -> None:
    """Do TLS in memory, as a sidecar does with the operator."""
    trusting = ssl.create_default_context(cadata=bundle)
    pipes = [ssl.MemoryBIO() for _ in range(4)]
    client = trusting.wrap_bio(pipes[0], pipes[1], server_hostname=name)
    server = context.wrap_bio(pipes[2], pipes[3], server_side=True)
    for _ in range(4):
        for end, outgoing, incoming in ((client, pipes[1], pipes[2]), (server, pipes[3], pipes[0])):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
            incoming.write(outgoing.read())
    assert client.version() == "TLSv1.3"


def context_of(authority: Authority, now: datetime, folder: Any) -> ssl.SSLContext:
    certificate, key = serve(authority, NAMES, now)
    path = folder / "serving.pem"
    path.write_text(key + certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context


@pytest.mark.parametrize("name", NAMES)
def test_tls_takes_what_is_made(tmp_path: Any, name: str) -> None:
    authority = renewed(None, NOW)
    context = context_of(authority, NOW, tmp_path)
    handshake(authority.bundle, context, name)
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(authority.bundle, context, "somebody.else")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(renewed(None, NOW).bundle, context, name)


def test_a_successor_is_told_before_it_signs_and_its_predecessor_leaves_when_it_has_ended(tmp_path: Any) -> None:
    first = renewed(None, NOW)
    assert renewed(first, NOW + LIFE - RENEW_BEFORE) == first
    late = NOW + LIFE - RENEW_BEFORE + DAY
    both = renewed(first, late)
    assert both.signers[0] == first.signers[0]
    assert len(both.signers) == 2
    assert renewed(both, late + DAY) == both
    assert both.signer(late + OVERLAP / 2) == first.signers[0]
    assert both.signer(late + OVERLAP) == both.signers[1]
    assert both.bundle.count("BEGIN CERTIFICATE") == 2
    handshake(both.bundle, context_of(both, NOW, tmp_path), NAMES[0])
    assert renewed(both, NOW + LIFE + DAY).signers == both.signers[1:]


def test_whatever_the_clock_does_there_is_a_signer() -> None:
    authority = renewed(None, NOW)
    assert authority.signer(NOW - 400 * DAY) == authority.signers[0]
    assert renewed(authority, NOW - 400 * DAY) == authority
    assert len(renewed(authority, NOW + 4000 * DAY).signers) == 1


class Cluster:
    """Secrets and ConfigMaps as an API server keeps them."""

    def __init__(self) -> None:
        self.secrets: dict[Key, dict[str, Any]] = {}
        self.maps: dict[str, dict[str, Any]] = {}
        self.writes: Counter[str] = Counter()
        self.reads: Counter[str] = Counter()
        self.refused: dict[str, int] = {}
        self.webhook: dict[str, Any] | None = None

    async def read_secret(self, key: Key) -> Body | None:
        self.reads["secret"] += 1
        return self.secrets.get(key)

    async def write_secret(self, document: Body) -> None:
        key = (document["metadata"]["namespace"], document["metadata"]["name"])
        there = self.secrets.get(key)
        version = document["metadata"].get("resourceVersion")
        if (there["metadata"]["resourceVersion"] if there else None) != version:
            raise ApiError(409, "somebody was quicker")
        data = {name: base64.b64encode(text.encode()).decode() for name, text in document["stringData"].items()}
        self.writes["secret"] += 1
        self.secrets[key] = {"metadata": {"resourceVersion": str(self.writes["secret"])}, "data": data}

    async def read_webhook(self, name: str) -> Body | None:
        assert name == "tcpservice"
        self.reads["webhook"] += 1
        return self.webhook

    async def patch_webhook(self, name: str, operations: list[dict[str, Any]]) -> None:
        assert self.webhook is not None
        self.writes["webhook"] += 1
        for operation in operations:
            assert operation["path"] == "/webhooks/0/clientConfig/caBundle", name
            self.webhook["webhooks"][0]["clientConfig"]["caBundle"] = operation["value"]

    async def list_config_maps(self, name: str, namespace: str) -> list[Body]:
        assert name == "tcpservice-ca"
        self.reads["maps"] += 1
        return [body for body in self.maps.values() if namespace in ("", body["metadata"]["namespace"])]

    async def apply_config_map(self, document: Body) -> None:
        where = document["metadata"]["namespace"]
        if where in self.refused:
            raise ApiError(self.refused[where], "no")
        self.writes["map"] += 1
        self.maps[where] = dict(document)


class Copy:
    """One copy of the operator, as far as certificates go."""

    def __init__(self, cluster: Cluster, *namespaces: str) -> None:
        self.state = ClusterState()
        for name in namespaces:
            self.state.apply_namespace_event(namespace(name))
        self.leads = True
        self.now = NOW
        self.ca_distribution = CaDistribution(
            self.state, cluster, "system", NAMES, lambda: self.leads, lambda: self.now
        )

    def sync(self) -> bool:
        return asyncio.run(self.ca_distribution._sync())


def test_the_leader_makes_and_tells_them_everywhere_once() -> None:
    cluster = Cluster()
    copy = Copy(cluster, "shop", "bank")
    assert copy.sync()
    assert cluster.writes == {"secret": 1, "map": 2}
    bundle = cluster.maps["shop"]["data"]["ca.crt"]
    handshake(bundle, copy.ca_distribution.context, NAMES[0])
    assert copy.sync()
    assert cluster.writes == {"secret": 1, "map": 2}
    copy.state.apply_namespace_event(namespace("new"))
    assert copy.sync()
    assert cluster.maps["new"]["data"] == {"ca.crt": bundle}
    cluster.maps["shop"]["data"] = {"ca.crt": "spoilt"}
    assert copy.sync()
    assert cluster.maps["shop"]["data"] == {"ca.crt": bundle}


def test_the_api_server_is_let_trust_the_webhook() -> None:
    cluster = Cluster()
    cluster.webhook = {"webhooks": [{"clientConfig": {"url": "https://here"}}]}
    copy = Copy(cluster, "shop")
    assert copy.sync()
    assert copy.sync()
    assert cluster.writes["webhook"] == 1
    told = base64.b64decode(cluster.webhook["webhooks"][0]["clientConfig"]["caBundle"]).decode()
    handshake(told, copy.ca_distribution.context, NAMES[0])


def test_other_copies_wait_and_serve_with_the_same() -> None:
    cluster = Cluster()
    other = Copy(cluster, "shop")
    other.leads = False
    assert not other.sync()
    assert not other.ca_distribution.ready.is_set()
    assert Copy(cluster, "shop").sync()
    assert other.sync()
    assert other.ca_distribution.ready.is_set()
    handshake(cluster.maps["shop"]["data"]["ca.crt"], other.ca_distribution.context, NAMES[0])
    assert cluster.writes == {"secret": 1, "map": 1}


def test_a_pod_that_is_made_with_its_namespace_finds_what_it_mounts() -> None:
    cluster = Cluster()
    Copy(cluster, "shop").sync()
    other = Copy(cluster)
    other.leads = False
    asyncio.run(other.ca_distribution.ensure_bundle("new"))
    assert "new" not in cluster.maps, "this copy does not know yet what there is to tell"
    other.sync()
    for _ in range(2):
        asyncio.run(other.ca_distribution.ensure_bundle("new"))
    assert cluster.maps["new"]["data"] == cluster.maps["shop"]["data"]
    assert cluster.writes["map"] == 2


def give(folder: Path, authority: Authority) -> None:
    """Write the files of another issuer."""
    certificate, key = serve(authority, NAMES, NOW)
    for name, text in (("tls.crt", certificate), ("tls.key", key), ("ca.crt", authority.bundle)):
        (folder / name).write_text(text)


def test_a_certificate_that_is_given_is_used_and_told(tmp_path: Path) -> None:
    cluster = Cluster()
    copy = Copy(cluster, "shop")
    copy.ca_distribution = CaDistribution(
        copy.state, cluster, "system", NAMES, lambda: True, lambda: copy.now, tmp_path
    )
    assert not copy.sync(), "nothing is there yet"
    first, second = renewed(None, NOW), renewed(None, NOW)

    def bundle() -> str:
        text: str = cluster.maps["shop"]["data"]["ca.crt"]
        return text

    give(tmp_path, first)
    assert copy.sync()
    assert not cluster.secrets
    handshake(first.bundle, copy.ca_distribution.context, NAMES[0])
    assert bundle() == first.bundle
    give(tmp_path, second)
    assert copy.sync()
    handshake(first.bundle, copy.ca_distribution.context, NAMES[0])
    assert bundle() == second.bundle + first.bundle, "clients trust the new CA before it is used"
    copy.now += DISTRIBUTED_AFTER
    assert copy.sync()
    handshake(second.bundle, copy.ca_distribution.context, NAMES[0])
    assert bundle() == second.bundle + first.bundle, "another replica may serve the old certificate still"
    copy.now += KEPT
    assert copy.sync()
    assert bundle() == second.bundle
    (tmp_path / "tls.crt").write_text("spoilt")
    assert not copy.sync()


def trusted_by(cluster: Cluster) -> str:
    """Return what the API server trusts."""
    assert cluster.webhook is not None
    return base64.b64decode(cluster.webhook["webhooks"][0]["clientConfig"]["caBundle"]).decode()


def test_a_rollout_that_changes_the_issuer_is_not_stuck(tmp_path: Path) -> None:
    """The new replica must become ready while the old one leads, and both must be trusted until the old one is gone."""
    cluster = Cluster()
    cluster.webhook = {"webhooks": [{"clientConfig": {"url": "https://here"}}]}
    old, new = Copy(cluster, "shop"), Copy(cluster, "shop")
    new.leads = False
    given = renewed(None, NOW)
    give(tmp_path, given)
    new.ca_distribution = CaDistribution(
        new.state, cluster, "system", NAMES, lambda: new.leads, lambda: new.now, tmp_path
    )
    assert old.sync()
    assert new.sync()
    assert new.ca_distribution.is_trusted
    for _ in range(2):
        assert old.sync()
        assert new.sync()
        for copy in (old, new):
            handshake(trusted_by(cluster), copy.ca_distribution.context, NAMES[0])
            handshake(cluster.maps["shop"]["data"]["ca.crt"], copy.ca_distribution.context, NAMES[0])
        old.leads, new.leads = False, True
    written = cluster.writes["webhook"]
    new.now += OTHERS_KEPT
    assert new.sync()
    assert trusted_by(cluster) == cluster.maps["shop"]["data"]["ca.crt"] == given.bundle
    assert cluster.writes["webhook"] == written + 1


def test_injection_works_once_the_api_server_trusts_the_operator() -> None:
    cluster = Cluster()
    cluster.webhook = {"webhooks": [{"clientConfig": {"url": "https://here"}}]}
    leader, other = Copy(cluster, "shop"), Copy(cluster, "shop")
    other.leads = False
    trusted = [other.ca_distribution.is_trusted]
    assert not other.sync()
    trusted.append(other.ca_distribution.is_trusted)
    assert leader.sync()
    assert other.sync()
    trusted += [leader.ca_distribution.is_trusted, other.ca_distribution.is_trusted]
    cluster.webhook["webhooks"][0]["clientConfig"]["caBundle"] = "of a new signer"
    other.sync()
    trusted.append(other.ca_distribution.is_trusted)
    assert trusted == [False, False, True, True, True], "a replica that is ready stays so while the bundle is replaced"


def test_certificates_are_renewed_in_place() -> None:
    cluster = Cluster()
    copy = Copy(cluster, "shop")
    copy.sync()
    for days in range(0, 800, 10):
        copy.now = NOW + days * DAY
        assert copy.sync()
        ends = copy.ca_distribution._served
        assert ends is not None
        assert ends[1] <= copy.now + SERVING_LIFE
    assert cluster.writes["secret"] > 2
    assert cluster.maps["shop"]["data"]["ca.crt"].count("BEGIN CERTIFICATE") in (1, 2)


@pytest.mark.parametrize("spoilt", [{}, {"signers.json": "%%%"}, {"signers.json": base64.b64encode(b"{}").decode()}])
def test_a_secret_that_is_no_authority_is_replaced(spoilt: dict[str, str]) -> None:
    cluster = Cluster()
    cluster.secrets["system", "tcpservice-ca"] = {"metadata": {"resourceVersion": "7"}, "data": spoilt}
    copy = Copy(cluster, "shop")
    assert copy.sync()
    handshake(cluster.maps["shop"]["data"]["ca.crt"], copy.ca_distribution.context, NAMES[0])


@pytest.mark.parametrize(("status", "done"), [(403, True), (404, True), (422, True), (429, False), (500, False)])
def test_a_namespace_that_refuses_its_config_map_does_not_stop_the_others(
    status: int, done: bool, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Cluster()
    cluster.refused["bank"] = status
    copy = Copy(cluster, "bank", "shop")
    for _ in range(2):
        assert copy.sync() is done
        assert "shop" in cluster.maps
    refusals = [line for line in caplog.messages if "could not write ConfigMap bank/tcpservice-ca" in line]
    assert len(refusals) == 1, "it is logged once"
    assert "kubectl delete configmap -n bank tcpservice-ca" in refusals[0]
    cluster.refused.clear()
    assert copy.sync()
    assert "bank" in cluster.maps


def test_without_an_api_server_the_others_are_not_tried() -> None:
    cluster = Cluster()
    cluster.refused["bank"] = 0
    assert not Copy(cluster, "bank", "shop").sync()
    assert not cluster.maps


def test_a_new_namespace_costs_one_write_and_nothing_else() -> None:
    cluster = Cluster()
    copy = Copy(cluster, "shop")

    async def run() -> None:
        running = asyncio.create_task(copy.ca_distribution.run())
        await asyncio.wait_for(copy.ca_distribution.ready.wait(), 10)
        cluster.reads.clear()
        for name in ("one", "two"):
            copy.state.apply_namespace_event(namespace(name))
            copy.ca_distribution.namespace_created()
            while name not in cluster.maps:
                await asyncio.sleep(0)
        assert not cluster.reads
        copy.leads = False
        copy.state.apply_namespace_event(namespace("three"))
        copy.ca_distribution.namespace_created()
        await asyncio.sleep(0.01)
        assert "three" not in cluster.maps, "another replica leads"
        copy.leads = True
        copy.ca_distribution.request_sync()
        while "three" not in cluster.maps:
            await asyncio.sleep(0)
        assert cluster.reads == {"secret": 1, "webhook": 1, "maps": 1}
        running.cancel()

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_bundle_holds_as_long_as_the_last_of_its_certificates() -> None:
    first = renewed(None, datetime(2026, 1, 1, tzinfo=UTC))
    both = renewed(first, first.signers[-1].ends - timedelta(days=1))
    assert end_of(first.bundle) == first.signers[-1].ends
    assert end_of(both.bundle) == both.signers[-1].ends > first.signers[-1].ends
    for text in ("", "nothing", first.bundle[:100]):
        with pytest.raises(ValueError, match=r".+"):
            end_of(text)
