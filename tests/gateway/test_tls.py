"""A provider behind TLS is called only if its certificate is one for its name."""

import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from django.test import override_settings

from gateway.adapters.transport import Outgoing, Transport
from gateway.errors import Unreachable
from gateway.patience import Patience
from tests.facts import provider_facts

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a key and a certificate for `localhost` that nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + signed.public_bytes(Encoding.PEM))
    return file


@pytest.fixture
def port(certificate: Path) -> Iterator[int]:
    """Serve one TLS connection and say where."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve_one, args=(listener, context))
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


def _serve_one(listener: socket.socket, context: ssl.SSLContext) -> None:
    channel, _ = listener.accept()
    try:
        with context.wrap_socket(channel, server_side=True) as secured:
            received = b""
            while not received.endswith(b"{}") and (piece := secured.recv(65536)):
                received += piece
            secured.sendall(ANSWER)
    except OSError:
        channel.close()


def call(host: str, port: int, *, trusted: Path | None) -> int:
    base_url = f"https://{host}:{port}"
    provider = provider_facts(base_url=base_url, may_be_private=True)
    asked = Outgoing(base_url, {}, b"{}")
    with (
        override_settings(TOKENHUB_CA_BUNDLE=str(trusted or "")),
        Transport().send(asked, provider, Patience(5)) as reply,
    ):
        assert reply.whole() == b"{}"
        return reply.status


def test_it_works(certificate: Path, port: int) -> None:
    assert call("localhost", port, trusted=certificate) == 200


def test_a_certificate_that_nobody_signed_is_refused(port: int) -> None:
    with pytest.raises(Unreachable, match="certificate verify failed"):
        call("localhost", port, trusted=None)


def test_a_certificate_for_another_name_is_refused(certificate: Path, port: int) -> None:
    with pytest.raises(Unreachable, match="certificate"):
        call("127.0.0.1", port, trusted=certificate)


def test_a_bundle_that_is_gone_is_a_failure_of_the_call(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"gone\.pem"):
        call("localhost", 9, trusted=tmp_path / "gone.pem")
