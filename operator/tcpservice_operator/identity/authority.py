"""The certificate authority (CA) that signs the operator's serving certificates: created and renewed as plain values.

Used by `ca_distribution`, which stores it in a Secret. Every client trusts all certificates of the bundle. A new signer
is added long before the old one expires. It signs only after the bundle with both certificates has reached all clients.
An expired signer is removed from the bundle. All certificates have the extensions without which Python 3.13 refuses
them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

LIFE: Final = timedelta(days=365)
RENEW_BEFORE: Final = timedelta(days=120)
OVERLAP: Final = timedelta(days=1)
"""How long the bundle has a new signer before it signs; ConfigMaps reach pods within minutes."""

SERVING_LIFE: Final = timedelta(days=30)
_SKEW: Final = timedelta(hours=1)


class Signer(Struct, frozen=True):
    """One CA certificate and its key, as PEM."""

    certificate: str
    key: str

    @property
    def _parsed(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate.encode())

    @property
    def begins(self) -> datetime:
        """The time of its creation."""
        return self._parsed.not_valid_before_utc + _SKEW

    @property
    def ends(self) -> datetime:
        """The time of its expiry."""
        return self._parsed.not_valid_after_utc


class Authority(Struct, frozen=True):
    """The signers of the CA, oldest first."""

    signers: tuple[Signer, ...]

    @property
    def bundle(self) -> str:
        """The certificates of all signers, as PEM: clients verify the operator with it."""
        return "".join(signer.certificate for signer in self.signers)

    def signer(self, now: datetime) -> Signer:
        """Return the signer to use: the newest that has been in the bundle for OVERLAP."""
        known = [signer for signer in self.signers if now - signer.begins >= OVERLAP]
        return known[-1] if known else self.signers[0]


def end_of(bundle: str) -> datetime:
    """Return when the last certificate of a bundle expires. Raises ValueError."""
    return max(each.not_valid_after_utc for each in x509.load_pem_x509_certificates(bundle.encode()))


def renewed(authority: Authority | None, now: datetime) -> Authority:
    """Return the authority with a new signer if one is due, and without expired signers."""
    signers = [signer for signer in authority.signers if signer.ends > now] if authority is not None else []
    if not signers or signers[-1].ends - now < RENEW_BEFORE:
        signers.append(_make_signer(now))
    return Authority(tuple(signers))


def serve(authority: Authority, names: Sequence[str], now: datetime) -> tuple[str, str]:
    """Return a serving certificate for names or addresses, and its key, as PEM."""
    signer = authority.signer(now)
    issuer = x509.load_pem_x509_certificate(signer.certificate.encode())
    issuing = _load(signer.key)
    key = ec.generate_private_key(ec.SECP256R1())
    ends = min(now + SERVING_LIFE, signer.ends)
    certificate = (
        _begin(names[0], issuer.subject, key, now, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_alternatives(names)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing.public_key()), critical=False)
        .sign(issuing, hashes.SHA256())
    )
    return _pem(certificate), _write(key)


def _make_signer(now: datetime) -> Signer:
    key = ec.generate_private_key(ec.SECP256R1())
    title = f"TcpService {now:%Y-%m-%d}"
    certificate = (
        _begin(title, _name(title), key, now, now + LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Signer(_pem(certificate), _write(key))


def _begin(
    title: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(title))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(title: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title[:64])])


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternatives(names: Iterable[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _write(key: ec.EllipticCurvePrivateKey) -> str:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


def _load(key: str) -> ec.EllipticCurvePrivateKey:
    loaded = serialization.load_pem_private_key(key.encode(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    return loaded
