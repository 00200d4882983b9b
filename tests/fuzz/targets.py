"""The fuzz targets by name. Each is a function of bytes that raises if what it tests breaks a promise.

``seeds/NAME`` has the inputs that a target begins with, and those that once broke it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from fuzz_backups import fuzz_age, fuzz_backup
from fuzz_calls import fuzz_ciphertext, fuzz_json, fuzz_query, fuzz_session_token
from fuzz_documents import fuzz_attestation, fuzz_attested_payload, fuzz_audit_log, fuzz_token, fuzz_web_identity
from fuzz_http import fuzz_http, fuzz_presigned, fuzz_signature
from fuzz_policies import fuzz_policy

TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "age": fuzz_age,
    "attestation": fuzz_attestation,
    "attested-payload": fuzz_attested_payload,
    "audit-log": fuzz_audit_log,
    "backup": fuzz_backup,
    "ciphertext": fuzz_ciphertext,
    "http": fuzz_http,
    "json": fuzz_json,
    "policy": fuzz_policy,
    "presigned": fuzz_presigned,
    "query": fuzz_query,
    "session-token": fuzz_session_token,
    "signature": fuzz_signature,
    "token": fuzz_token,
    "web-identity": fuzz_web_identity,
}
SEEDS: Final = Path(__file__).with_name("seeds")
MAX_LENGTH: Final = 4096
"""The longest input in bytes."""


def seeds_of(name: str) -> list[bytes]:
    """Return the seeds of a target, in the order of their names."""
    return [path.read_bytes() for path in sorted((SEEDS / name).iterdir())]
