"""An external key store proxy for tests, written from the XKS Proxy API specification 1.0.3 alone.

It does real cryptography and verifies signatures with botocore's signer. On command it misbehaves: see ``Fault``.
"""

import json
import socket
import socketserver
import ssl
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from typing_extensions import override

from local_deployment import entropy
from strongroom.settings import XksProxyHost
from tls_files import EC, Pair, run_openssl

ACCESS_KEY_ID = "ABCDEFGHIJKLMNOPQRST"
OTHER_ACCESS_KEY_ID = "TSRQPONMLKJIHGFEDCBA"
SECRET = "c2VjcmV0IG9mIHRoZSBleHRlcm5hbCBrZXkgc3RvcmUgcHJveHk="
HOSTS = ("proxy.example.com", "private.example.com", "another.example.com", "third.example.com")

Reply = tuple[int, dict[str, Any]]


@dataclass
class Fault:
    """How the next answers to one kind of call differ from the right ones.

    The kinds are the last parts of paths: ``encrypt``, or ``one/encrypt`` for the external key ``one`` alone.
    """

    status: int | None = None
    error: str | None = None
    """With ``status``: the errorName of an error."""
    edit: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """Changes the members of the right answer."""
    raw: bytes | None = None
    """All of the answer, head included. Then the connection is closed."""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    after: float = 0.0
    """Seconds to wait before the answer."""
    wait_for: threading.Event | None = None
    """What to wait for before the answer."""


@dataclass
class StubKey:
    """A key of the external key manager."""

    material: bytes
    spec: str = "AES_256"
    status: str = "ENABLED"
    usage: tuple[str, ...] = ("ENCRYPT", "DECRYPT")


def named_certificate(folder: Path, name: str, hosts: tuple[str, ...] = HOSTS) -> Pair:
    """Make a certificate for some host names that is its own authority."""
    folder.mkdir(exist_ok=True)
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    names = ",".join(f"DNS:{host}" for host in hosts)
    run_openssl(
        *("req", "-x509", "-newkey", *EC, "-nodes", "-days", "30", "-subj", f"/CN={name}"),
        *("-addext", f"subjectAltName={names}", "-keyout", str(pair.key), "-out", str(pair.certificate)),
    )
    return pair


class XksStub:
    """A proxy on a loopback port. ``requests`` has the path and the body of every request with a valid signature."""

    def __init__(self, pair: Pair) -> None:
        self.certificate = pair.certificate
        self.regions = ("us-east-1", "eu-west-1")
        self.credentials = {ACCESS_KEY_ID: SECRET, OTHER_ACCESS_KEY_ID: SECRET}
        self.keys: dict[str, StubKey] = {}
        self.faults: dict[str, Fault] = {}
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.signed: list[dict[str, str]] = []
        """The headers of those requests."""
        self.connections = 0
        self.close_after_each = False
        """Whether each connection is closed after one answer, without saying so in it."""
        self.managers = ["ACTIVE"]
        self.metadata_length = 20
        self.iv_length = 12
        self.lock = threading.Lock()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pair.certificate, pair.key)
        stub = self

        class Handler(socketserver.BaseRequestHandler):
            @override
            def handle(self) -> None:
                stub.serve(self.request)

        self._handler = Handler
        self._open: set[socket.socket] = set()
        self._listen(0)

    def _listen(self, port: int) -> None:
        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", port), self._handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients that close the connection
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def down(self) -> Iterator[None]:
        """Listen to no port, and have no connection."""
        self._stop()
        try:
            yield
        finally:
            self._listen(int(self.address.rpartition(":")[2]))
            self._thread.start()

    @contextmanager
    def certified(self, pair: Pair) -> Iterator[None]:
        """Have another certificate for a while, and no connection from before."""
        before, self.context = self.context, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pair.certificate, pair.key)
        self.drop()
        try:
            yield
        finally:
            self.context = before
            self.drop()

    def drop(self) -> None:
        """End all connections."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.drop()

    def settings(self, hosts: tuple[str, ...] = HOSTS) -> tuple[dict[str, str], ...]:
        """Return the setting xks-proxies that lists this proxy under some names."""
        return tuple({"host": host, "address": self.address, "ca": str(self.certificate)} for host in hosts)

    def written(self, folder: Path, *, timeout: float = 5.0, more: str = "") -> Path:
        """Write a configuration file that lists this proxy. Machines that run tests are too busy for 250 ms."""
        tables = [
            f'[[xks-proxies]]\nhost = "{each["host"]}"\naddress = "{each["address"]}"\nca = "{each["ca"]}"\n'
            for each in self.settings()
        ]
        file = folder / "strongroom.toml"
        file.write_text(f"xks-timeout = {timeout}\n{more}\n{''.join(tables)}")
        return file

    @property
    def hosts(self) -> tuple[XksProxyHost, ...]:
        """The setting xks-proxies, for tests that start no server."""
        return tuple(msgspec.convert(each, XksProxyHost) for each in self.settings())

    def new_key(self, external_id: str, **more: Any) -> str:
        self.keys[external_id] = StubKey(entropy(32), **more)
        return external_id

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for fault in self.faults.values():
            if fault.wait_for is not None:
                fault.wait_for.set()
        self._stop()

    # --- connections

    def serve(self, plain: socket.socket) -> None:
        self.connections += 1
        with self.context.wrap_socket(plain, server_side=True) as secure, self._tracked(secure):
            file = secure.makefile("rb")
            while line := file.readline():
                path = line.split()[1].decode()
                headers = {}
                while (header := file.readline().strip()) != b"":
                    name, _, value = header.decode().partition(":")
                    headers[name.strip().lower()] = value.strip()
                body = file.read(int(headers.get("content-length", "0")))
                if not self._answer(secure, line.split()[0].decode(), path, headers, body):
                    return

    @contextmanager
    def _tracked(self, connection: socket.socket) -> Iterator[None]:
        self._open.add(connection)
        try:
            yield
        finally:
            self._open.discard(connection)

    def _answer(self, secure: ssl.SSLSocket, method: str, path: str, headers: dict[str, str], body: bytes) -> bool:
        *_, name, action = path.split("/")
        fault = self.faults.get(f"{name}/{action}") or self.faults.get(action, Fault())
        status, reply = self.reply(method, path, headers, body)
        if fault.wait_for is not None:
            fault.wait_for.wait(60)
        time.sleep(fault.after)
        if fault.raw is not None:
            secure.sendall(fault.raw)
            return False
        if fault.edit is not None and status == 200:
            reply = fault.edit(dict(reply))
        if fault.status is not None:
            status, reply = fault.status, {} if fault.error is None else {"errorName": fault.error}
        text = json.dumps(reply, separators=(",", ":")).encode()
        more = "".join(f"{name}: {value}\r\n" for name, value in fault.headers.items())
        head = f"HTTP/1.1 {status} x\r\ncontent-type: {fault.content_type}\r\ncontent-length: {len(text)}\r\n{more}\r\n"
        secure.sendall(head.encode() + text)
        return not self.close_after_each

    # --- the specification

    def reply(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        prefix, found, rest = path.partition("/kms/xks/v1/")
        if not found or prefix == "/unknown":
            return _error(404, "InvalidUriPathException")
        if method != "POST" or not self._is_signed(method, path, headers, body):
            return _error(401, "AuthenticationFailedException")
        request = json.loads(body)
        with self.lock:
            self.requests.append((path, request))
            self.signed.append(headers)
        required = {"kmsOperation", "kmsRequestId"}
        if rest != "health":
            required |= {"awsPrincipalArn"} if rest.endswith("/metadata") else {"awsPrincipalArn", "kmsKeyArn"}
        if not required <= request["requestMetadata"].keys():
            return _error(400, "ValidationException")
        return (200, self._health()) if rest == "health" else self._with_key(rest, request)

    def _with_key(self, rest: str, request: dict[str, Any]) -> Reply:
        _, external_id, action = rest.split("/")
        key = self.keys.get(external_id)
        if key is None:
            return _error(404, "KeyNotFoundException")
        if action == "metadata":
            return 200, {"keySpec": key.spec, "keyUsage": list(key.usage), "keyStatus": key.status}
        if key.status != "ENABLED":
            return _error(400, "InvalidStateException")
        if action.upper() not in key.usage:
            return _error(400, "InvalidKeyUsageException")
        return self._encrypt(key, request) if action == "encrypt" else _decrypt(key, request)

    def _is_signed(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bool:
        authorization = headers.get("authorization", "")
        access_key_id = authorization.partition("Credential=")[2].partition("/")[0]
        secret = self.credentials.get(access_key_id)
        if secret is None or "SignedHeaders=host;x-amz-date," not in authorization:
            return False
        again = AWSRequest(method, f"https://{headers['host']}{path}", data=body)
        again.context["timestamp"] = again.headers["X-Amz-Date"] = headers["x-amz-date"]
        region = authorization.partition("Credential=")[2].split("/")[2]
        signer = SigV4Auth(Credentials(access_key_id, secret), "kms-xks-proxy", region)
        canonical = signer.canonical_request(again)
        signature = signer.signature(signer.string_to_sign(again, canonical), again)
        right_scope = region in self.regions and f"/{region}/kms-xks-proxy/aws4_request, " in authorization
        return right_scope and authorization.endswith(f"Signature={signature}")

    def _health(self) -> dict[str, Any]:
        managers = [{"id": f"m{n}", "model": "m", "healthStatus": state} for n, state in enumerate(self.managers)]
        return {
            "xksProxyFleetSize": 1,
            "xksProxyVendor": "tests",
            "xksProxyModel": "stub",
            "ekmVendor": "tests",
            "ekmFleetDetails": managers,
        }

    def _encrypt(self, key: StubKey, request: dict[str, Any]) -> Reply:
        plaintext, data = b64decode(request["plaintext"]), b64decode(request["additionalAuthenticatedData"])
        iv, metadata = entropy(self.iv_length), entropy(self.metadata_length)
        sealed = AESGCM(key.material).encrypt(iv, plaintext, _bound(data, metadata))
        ciphertext, tag = sealed[:-16], sealed[-16:]
        reply = {
            "ciphertext": b64encode(ciphertext).decode(),
            "initializationVector": b64encode(iv).decode(),
            "authenticationTag": b64encode(tag).decode(),
        }
        if metadata:
            reply["ciphertextMetadata"] = b64encode(metadata).decode()
        if request.get("ciphertextDataIntegrityValueAlgorithm") == "SHA_256":
            digest = sha256(data + metadata + iv + ciphertext + tag).digest()
            reply["ciphertextDataIntegrityValue"] = b64encode(digest).decode()
        return 200, reply


def _decrypt(key: StubKey, request: dict[str, Any]) -> Reply:
    given = {
        name: b64decode(request.get(name, ""))
        for name in ("ciphertext", "authenticationTag", "initializationVector", "ciphertextMetadata")
    }
    bound = _bound(b64decode(request["additionalAuthenticatedData"]), given["ciphertextMetadata"])
    try:
        plaintext = AESGCM(key.material).decrypt(
            given["initializationVector"], given["ciphertext"] + given["authenticationTag"], bound
        )
    except InvalidTag:
        return _error(400, "InvalidCiphertextException")
    return 200, {"plaintext": b64encode(plaintext).decode()}


def _bound(data: bytes, metadata: bytes) -> bytes:
    return b"%b%b%b%b" % (len(data).to_bytes(2), data, bytes((len(metadata),)), metadata) if metadata else data


def _error(status: int, name: str) -> Reply:
    return status, {"errorName": name, "errorMessage": "a message for administrators"}
