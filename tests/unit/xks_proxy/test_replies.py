"""The bodies of replies, and the worked example of the specification."""

import base64
import json

import pytest

from strongroom.xks_proxy import replies
from strongroom.xks_proxy.errors import STATUS, ErrorName, XksError
from strongroom.xks_proxy.registry import Usage
from strongroom.xks_proxy.replies import Ciphertext, Health, HealthStatus, Manager

# External Key Store Proxy API Specification 1.0.3, Appendix C.
ASSOCIATED_DATA = b"project=nile,department=marketing"
EXAMPLE = Ciphertext(
    ciphertext=bytes.fromhex("821c642b5b71783367deaf18"),
    initialization_vector=bytes.fromhex("1ccae5470f397002547790 31"),
    authentication_tag=bytes.fromhex("bc1c4dda7707d6812447c5955e99b261"),
    ciphertext_metadata=b"key_version=1",
)
INTEGRITY = "qHA/ImC9h5HsLRXqCyPmWgYx7tzyoTplzILbP0fPXsc="


def test_the_integrity_value_of_the_worked_example() -> None:
    assert base64.b64encode(replies.integrity_value(ASSOCIATED_DATA, EXAMPLE)).decode() == INTEGRITY


def test_the_reply_of_the_worked_example() -> None:
    assert json.loads(replies.encrypted(EXAMPLE, base64.b64decode(INTEGRITY))) == {
        "authenticationTag": "vBxN2ncH1oEkR8WVXpmyYQ==",
        "ciphertext": "ghxkK1txeDNn3q8Y",
        "ciphertextDataIntegrityValue": INTEGRITY,
        "ciphertextMetadata": "a2V5X3ZlcnNpb249MQ==",
        "initializationVector": "HMrlRw85cAJUd5Ax",
    }


def test_replies_are_compact_and_leave_out_what_is_not_there() -> None:
    reply = replies.encrypted(Ciphertext(b"c", b"i", b"t"), None)
    assert reply == b'{"ciphertext":"Yw==","initializationVector":"aQ==","authenticationTag":"dA=="}'
    assert replies.decrypted(b"text") == b'{"plaintext":"dGV4dA=="}'


@pytest.mark.parametrize(("enabled", "status"), [(True, "ENABLED"), (False, "DISABLED")])
def test_key_metadata(status: str, *, enabled: bool) -> None:
    assert json.loads(replies.key_metadata((Usage.ENCRYPT, Usage.DECRYPT), enabled=enabled)) == {
        "keySpec": "AES_256",
        "keyUsage": ["ENCRYPT", "DECRYPT"],
        "keyStatus": status,
    }


def test_health() -> None:
    found = Health(1, "Acme", "Acme 1.0", "Thales", [Manager("id", "Luna", HealthStatus.DEGRADED)])
    assert json.loads(replies.health(found)) == {
        "xksProxyFleetSize": 1,
        "xksProxyVendor": "Acme",
        "xksProxyModel": "Acme 1.0",
        "ekmVendor": "Thales",
        "ekmFleetDetails": [{"id": "id", "model": "Luna", "healthStatus": "DEGRADED"}],
    }


def test_errors_have_the_names_and_statuses_of_the_specification() -> None:
    assert STATUS.keys() == {*ErrorName}
    error = XksError(ErrorName.KEY_NOT_FOUND, "no\nkey \N{SNOWMAN}" + "x" * 600)
    assert error.status == 404
    found = json.loads(replies.refused(error))
    assert found["errorName"] == "KeyNotFoundException"
    assert found["errorMessage"].startswith("no?key ?x")
    assert len(found["errorMessage"]) == 511
    assert found["errorMessage"].isascii()
