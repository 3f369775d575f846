"""Certificates as a mesh has them: each names its owner by one URI, and both sides verify the other."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tcpservice.snapshot import Endpoint
from tcpservice_sidecar.security import Plain


def context_for(uri: str, authority: trustme.CA, folder: Path, *, server: bool) -> ssl.SSLContext:
    """Make the context of one side, which proves to be `uri` and wants the other to prove something."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer_key = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "workload")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    path = folder / f"{'server' if server else 'client'}.pem"
    plain = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(path)
    authority.configure_trust(context)
    return context


class Mutual(Plain):
    """TLS between sidecars, none elsewhere."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
        self._server = server
        self._client = client

    def for_mesh_listener(self) -> ssl.SSLContext | None:
        return self._server

    def for_endpoint(self, endpoint: Endpoint) -> ssl.SSLContext | None:
        return self._client if endpoint.mesh else None


def mutual(folder: Path) -> Mutual:
    """Make both sides of one mesh."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    return Mutual(
        context_for("spiffe://cluster.local/ns/shop/sa/orders", authority, folder, server=True),
        context_for("spiffe://cluster.local/ns/shop/sa/web", authority, folder, server=False),
    )
