"""OpenBao's transit engine: a development server, in memory, that writes every request and answer to an audit file."""

import json
import urllib.request
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from sysconfig import get_path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from contender import PREPARED, Call, Contender
from kms_calls import SEALED, Check, Json, verify
from load import Reply, Request
from servers import Server, serving

TOKEN = "root"  # noqa: S105 - of a server that is gone when this is over
HEADERS = {"X-Vault-Token": TOKEN, "Content-Type": "application/json", "User-Agent": "bench"}
PLAINTEXTS = [b64encode(b"%064d" % number).decode() for number in range(PREPARED)]
# What an encryption context is for AWS.
CONTEXT = b64encode(b'{"department":"payroll","year":"2026"}').decode()
SIGNERS = {"rsa-2048": {"signature_algorithm": "pkcs1v15"}, "ecdsa-p256": {"marshaling_algorithm": "asn1"}}


class Transit:
    """The engine behind a server's address."""

    def __init__(self, server: Server) -> None:
        self._root = f"http://127.0.0.1:{server.port}/v1/"

    def post(self, path: str, body: Json) -> Json:
        return self._send("POST", path, json.dumps(body).encode())

    def get(self, path: str) -> Json:
        return self._send("GET", path, None)

    def _send(self, method: str, path: str, body: bytes | None) -> Json:
        request = urllib.request.Request(self._root + path, body, HEADERS, method=method)  # noqa: S310 - loopback
        with urllib.request.urlopen(request) as reply:  # noqa: S310 - same
            found: Json = json.loads(reply.read() or b"{}")
        return found


def call(name: str, path: str, bodies: list[Json], check: Check) -> Call:
    """Return a call; ``check`` tells whether an answer's data are right for its request's body."""

    def checked(request: Request, reply: Reply) -> None:
        assert reply.status == 200, f"{name}: {reply}"
        assert check(json.loads(request.body), json.loads(reply.body)["data"]), f"{name}: {reply}"

    requests = [Request("POST", f"/v1/{path}", HEADERS, json.dumps(body).encode()) for body in bodies]
    return Call(name, partial(list, requests), checked)


def encrypt(transit: Transit) -> Call:
    def opens(request: Json, reply: Json) -> bool:
        sealed = {"ciphertext": reply["ciphertext"], "associated_data": CONTEXT}
        found = transit.post("transit/decrypt/shop", sealed)["data"]["plaintext"]
        return bool(found == request["plaintext"])

    bodies = [{"plaintext": each, "associated_data": CONTEXT} for each in PLAINTEXTS]
    return call("encrypt", "transit/encrypt/shop", bodies, opens)


def decrypt(transit: Transit) -> Call:
    def seal(plaintext: str) -> str:
        body = {"plaintext": plaintext, "associated_data": CONTEXT}
        return str(transit.post("transit/encrypt/shop", body)["data"]["ciphertext"])

    sealed = {seal(each): each for each in PLAINTEXTS[:SEALED]}
    bodies = [{"ciphertext": each, "associated_data": CONTEXT} for each in sealed]
    return call(
        "decrypt",
        "transit/decrypt/shop",
        bodies,
        lambda request, reply: bool(reply["plaintext"] == sealed[request["ciphertext"]]),
    )


def sign(transit: Transit, kind: str) -> Call:
    transit.post(f"transit/keys/{kind}", {"type": kind})
    pem = transit.get(f"transit/keys/{kind}")["data"]["keys"]["1"]["public_key"]
    public_key = load_pem_public_key(pem.encode()).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def verifies(request: Json, reply: Json) -> bool:
        verify(public_key, b64decode(reply["signature"].removeprefix("vault:v1:")), b64decode(request["input"]))
        return True

    bodies = [{"input": each, **SIGNERS[kind]} for each in PLAINTEXTS]
    return call(f"sign {kind}", f"transit/sign/{kind}/sha2-256", bodies, verifies)


@contextmanager
def openbao(folder: Path) -> Iterator[Contender]:
    """Run a server with a key of each kind."""
    audit, settings = folder / "openbao-audit.log", folder / "openbao.hcl"
    settings.write_text(f'audit "file" "everything" {{ options {{ file_path = "{audit}" }} }}\n')
    command = [
        *(f"{get_path('scripts')}/bao", "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={TOKEN}"),
        *("-dev-listen-address=127.0.0.1:PORT", f"-config={settings}", "-log-level=warn"),
    ]
    with serving(command, folder / "openbao.log") as server:
        transit = Transit(server)
        transit.post("sys/mounts/transit", {"type": "transit"})
        transit.post("transit/keys/shop", {"type": "aes256-gcm96"})
        calls = [encrypt(transit), decrypt(transit), *(sign(transit, kind) for kind in SIGNERS)]
        yield Contender("OpenBao", server, calls, lambda: audit.read_bytes().count(b'"type":"response"'))
