"""An authority for TLS that lives as long as the process: the proxy is the server for commands, for named hosts only.

Its key stays in memory. What commands get is the system's authorities and this one, in one file.
"""

from __future__ import annotations

import datetime
import os
import ssl
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from assay.core.egress import is_address

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

VARIABLES = (
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO", "npm_config_cafile",
)  # fmt: skip
"""Where programs look for the file with the authorities they trust; each goes before the machine's own settings."""
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem")
_DAYS = 7


def can_terminate() -> bool:
    """The library that signs certificates is installed (extra `egress`)."""
    return find_spec("cryptography") is not None


class Authority:
    """Signs a certificate for each host that is asked for. `folder` is where the file for commands goes."""

    def __init__(self, folder: Path) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec

        self._key = ec.generate_private_key(ec.SECP256R1())
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        # A name of its own: some clients look for the issuer by name alone.
        name = f"assay, session {os.urandom(6).hex()}"
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self._contexts: dict[str, ssl.SSLContext] = {}
        authority = self._certificate(self._name, self._key.public_key(), None)
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "authorities.pem"
        self.file.write_bytes(_system_authorities() + authority)

    def context(self, host: str) -> ssl.SSLContext:
        """What serves TLS as `host`, a name that was allowed."""
        if host not in self._contexts:
            self._contexts[host] = self._serving(host)
        return self._contexts[host]

    def _serving(self, host: str) -> ssl.SSLContext:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization

        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host[:64])])
        key = self._leaf_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        # The module loads keys from files only; this one never has a name that others could open.
        handle = os.memfd_create("serving")
        try:
            os.write(handle, self._certificate(name, self._leaf_key.public_key(), host) + key)
            context.load_cert_chain(f"/proc/self/fd/{handle}")
        finally:
            os.close(handle)
        return context

    def _certificate(self, name: x509.Name, public: EllipticCurvePublicKey, host: str | None) -> bytes:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.x509.oid import ExtendedKeyUsageOID

        now = datetime.datetime.now(datetime.UTC)
        ours = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=_DAYS))
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=0 if host is None else None), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ours), False)
        )
        if host is None:
            made = made.add_extension(_usage(signs=True), True)
        else:
            made = made.add_extension(x509.SubjectAlternativeName([_alternative(host)]), False)
            made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
            made = made.add_extension(_usage(signs=False), True)
        return made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _alternative(host: str) -> x509.GeneralName:
    from cryptography import x509

    return x509.IPAddress(ip_address(host)) if is_address(host) else x509.DNSName(host)


def _usage(*, signs: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs, key_cert_sign=signs, crl_sign=signs, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _system_authorities() -> bytes:
    """The file of authorities that this machine trusts (or that SSL_CERT_FILE names); empty when there is none."""
    for path in (ssl.get_default_verify_paths().cafile, *_BUNDLES):
        try:
            if path:
                return Path(path).read_bytes().rstrip() + b"\n"
        except OSError:
            continue
    return b""
