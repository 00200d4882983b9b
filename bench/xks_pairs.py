"""An external key store beside a bare loop: one request, made beforehand, to the same proxy on one connection."""

import re
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import cast

import msgspec
from msgspec.structs import replace

from depth_pairs import ASSOCIATED, REGION, TEXT, Pair, loop, owner
from local_deployment import entropy
from local_server import running_server
from strongroom.clock import SystemClock
from strongroom.crypto.binding import custom_key_store_binding
from strongroom.crypto.domain_keys import DomainKeys, create_domain_key
from strongroom.crypto.external_keys import ExternalKey, KeyUser
from strongroom.crypto.seals.root_key import temporary_seal
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.crypto.software.key_backend import SoftwareKeyBackend
from strongroom.crypto.xks import messages
from strongroom.crypto.xks.allowed_hosts import AllowedHosts
from strongroom.crypto.xks.key_backend import ExternalKeyBackend
from strongroom.crypto.xks.proxies import XksProxies
from strongroom.crypto.xks.signature import ProxyCredential, signed_request
from strongroom.keys.custom_key_stores import (
    ConnectionState,
    CustomKeyStore,
    CustomKeyStoreType,
    XksProxy,
    XksProxyConnectivity,
)
from strongroom.keys.external_keys import external_material_id, external_token
from strongroom.keys.specs import KeySpec
from strongroom.settings import XksProxyHost
from tls_files import EC, run_openssl
from tls_files import Pair as Certificate
from xks_calls import PREFIX
from xks_processes import exported, make_proxy, running_proxy

HOST = "proxy.example.com"
STORE_ID, EXTERNAL_ID = "cks-1234567890abcdef0", "foo"
PATH = f"/{PREFIX}/kms/xks/v1"
KEY_ARN = f"arn:aws:kms:{REGION}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)


@contextmanager
def xks_pairs(*, distant: bool) -> Iterator[list[Pair]]:
    """Serve an XKS proxy of another deployment; yield what an external key store does with a key of it.

    A ``distant`` proxy is a millisecond away.
    """
    clock, secret_of, seal = SystemClock(), custom_key_store_binding(STORE_ID), temporary_seal(entropy)
    records = [create_domain_key(scope, 1, seal, entropy) for scope in (REGION, "iam")]
    keys = DomainKeys(records, seal, entropy)
    secrets = ServiceSecrets(keys)
    with tempfile.TemporaryDirectory() as name, ExitStack() as undo:
        folder = Path(name)
        certificate = made_certificate(folder)
        server = undo.enter_context(running_server(folder / "data", folder / "log"))
        make_proxy(server, folder / "data")
        proxy = undo.enter_context(running_proxy(folder / "data", folder / "proxy.log", *certificate.options))
        address = undo.enter_context(relayed(proxy.address)) if distant else proxy.address
        given = exported(folder / "data")
        credential = ProxyCredential(str(given.access_key), str(given.secret_key))
        store = CustomKeyStore(
            account="111122223333",
            region=REGION,
            store_id=STORE_ID,
            name="store",
            type=CustomKeyStoreType.EXTERNAL_KEY_STORE,
            created_at=1.0,
            wrapped_secret=secrets.wrap(credential.secret.encode(), secret_of),
            state=ConnectionState.CONNECTED,
            xks=XksProxy(
                connectivity=XksProxyConnectivity.PUBLIC_ENDPOINT,
                access_key_id=credential.access_key_id,
                uri_endpoint=f"https://{HOST}",
                uri_path=PATH,
            ),
        )
        hosts = AllowedHosts([XksProxyHost(HOST, address, str(certificate.certificate))])
        proxies = undo.enter_context(closing(XksProxies(hosts, secrets, clock, patience=10.0, at_once=4)))
        backend = ExternalKeyBackend(SoftwareKeyBackend(keys, entropy), proxies, lambda *_place: store)
        bound_to = replace(owner(KeySpec.SYMMETRIC_DEFAULT), material_id=external_material_id(STORE_ID, EXTERNAL_ID))
        token = external_token(STORE_ID, EXTERNAL_ID, backend.generate(bound_to))
        user = KeyUser("Encrypt", "bench", "arn:aws:iam::111122223333:root")
        key = cast("ExternalKey", backend.load(token, bound_to)).used_by(user)
        # As long as what the back end sends: a body of suite 1.
        body = messages.encrypt_request(messages.request_metadata(user, KEY_ARN), TEXT + bytes(45), bytes(32))
        path = f"{PATH}/keys/{EXTERNAL_ID}/encrypt"
        request = signed_request(HOST, path, msgspec.json.encode(body), credential, REGION, clock.now())
        connection = undo.enter_context(connected(address, certificate))
        yield [
            Pair(
                "Encrypt 32 bytes",
                lambda: key.encrypt(TEXT, ASSOCIATED),
                loop(lambda: exchange(connection, request)),
            )
        ]


def made_certificate(folder: Path) -> Certificate:
    made = Certificate(folder / "proxy.pem", folder / "proxy.key")
    run_openssl(
        *("req", "-x509", "-newkey", *EC, "-nodes", "-days", "2", "-subj", f"/CN={HOST}"),
        *("-addext", f"subjectAltName=DNS:{HOST}", "-keyout", str(made.key), "-out", str(made.certificate)),
    )
    return made


@contextmanager
def relayed(address: str) -> Iterator[str]:
    """Yield the address of a relay to another address, which is a millisecond away."""
    relay = [sys.executable, str(Path(__file__).with_name("distant.py")), address]
    with subprocess.Popen(relay, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextmanager
def connected(address: str, certificate: Certificate) -> Iterator[ssl.SSLSocket]:
    host, _, port = address.partition(":")
    context = ssl.create_default_context(cafile=certificate.certificate)
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as connection,
    ):
        # As the back end's own connections: a request is one write, and must not wait for more.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def exchange(connection: ssl.SSLSocket, request: bytes) -> bytes:
    """Send a request and return the body of the answer."""
    connection.sendall(request)
    answer = connection.recv(1 << 16)
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1 << 16)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head[:16], answer
    found = LENGTH.search(head)
    assert found is not None
    while len(body) < int(found[1]):
        body += connection.recv(1 << 16)
    return body
