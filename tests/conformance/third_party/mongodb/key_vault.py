"""A MongoDB server with as much of the protocol as a key vault and a few documents need, in memory.

MongoDB's own server is on no package index. Source: MongoDB's manual, "MongoDB Wire Protocol" (OP_MSG, OP_QUERY).
"""

import socketserver
import struct
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bson
from typing_extensions import override

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
HELLO = {
    "isWritablePrimary": True,
    "helloOk": True,
    "maxBsonObjectSize": 1 << 24,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
    "minWireVersion": 0,
    "maxWireVersion": 21,
}


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.documents: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.lock = threading.Lock()

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        name = next(iter(command))
        with self.lock:
            if name == "insert":
                self.documents[command["insert"]] += command["documents"]
                return {"n": len(command["documents"])}
            if name == "find":
                found = [each for each in self.documents[command["find"]] if _matches(command.get("filter", {}), each)]
                return {"cursor": {"id": 0, "ns": f"{command['$db']}.{command['find']}", "firstBatch": found}}
            if name == "update":
                return self._update(command)
        return HELLO

    def _update(self, command: dict[str, Any]) -> dict[str, Any]:
        changed = 0
        for update in command["updates"]:
            for document in self.documents[command["update"]]:
                if _matches(update["q"], document):
                    document.update(update["u"]["$set"])
                    changed += 1
        return {"n": changed, "nModified": changed}


def _matches(query: dict[str, Any], document: dict[str, Any]) -> bool:
    """Tell whether a document is one that a query of a driver or of its encryption asks for."""
    for name, wanted in query.items():
        if name == "$or":
            if not any(_matches(each, document) for each in wanted):
                return False
            continue
        have = document.get(name)
        values = have if isinstance(have, list) else [have]
        accepted = wanted["$in"] if isinstance(wanted, dict) else [wanted]
        if not any(value in accepted for value in values):
            return False
    return True


class _Connection(socketserver.StreamRequestHandler):
    server: _Server

    @override
    def handle(self) -> None:
        while head := self.rfile.read(16):
            length, request_id, _, kind = struct.unpack("<4i", head)
            body = self.rfile.read(length - 16)
            if kind == OP_QUERY:  # The first message of a driver is one.
                prefix, reply_kind = struct.pack("<iqii", 0, 0, 0, 1), OP_REPLY
                answer: dict[str, Any] = HELLO
            else:
                prefix, reply_kind = struct.pack("<iB", 0, 0), OP_MSG
                answer = self.server.answer(_command(body))
            message = prefix + bson.encode({**answer, "ok": 1.0})
            self.wfile.write(struct.pack("<4i", 16 + len(message), 0, request_id, reply_kind) + message)


def _command(body: bytes) -> dict[str, Any]:
    """Return the command of an OP_MSG, with its document sequences as lists."""
    command: dict[str, Any] = {}
    position = 4
    while position < len(body):
        section = body[position]
        (size,) = struct.unpack_from("<i", body, position + 1)
        content = body[position + 1 : position + 1 + size]
        if section == 0:
            command |= bson.decode(content)
        else:
            name, _, documents = content[4:].partition(b"\0")
            command[name.decode()] = bson.decode_all(documents)
        position += 1 + size
    return command


@contextmanager
def key_vault() -> Iterator[str]:
    """Run a server; return its address."""
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"mongodb://127.0.0.1:{server.server_address[1]}/?directConnection=true"
        finally:
            server.shutdown()
            thread.join()
