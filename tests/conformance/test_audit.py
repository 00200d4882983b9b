"""One CloudTrail-shaped line for each call, allowed or refused, and nothing secret in any of them."""

import base64
import json

from mypy_boto3_kms.client import KMSClient

from accounts import data_of, last_record
from client_errors import error_code_of
from clients import send, signed
from local_server import RunningServer
from written_data import written_data


def current_material(kms: KMSClient, key_id: str) -> str:
    return kms.describe_key(KeyId=key_id)["KeyMetadata"]["CurrentKeyMaterialId"]


def test_the_key_material_that_was_used(server: RunningServer, kms: KMSClient, key_id: str) -> None:
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    before = current_material(kms, key_id)
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    kms.rotate_key_on_demand(KeyId=key_id)
    after = current_material(kms, key_id)
    assert before != after
    kms.decrypt(CiphertextBlob=blob)
    assert last_record(server)["additionalEventData"] == {"keyMaterialId": before}
    kms.generate_data_key_without_plaintext(KeyId=key_id, KeySpec="AES_256")
    assert last_record(server)["additionalEventData"] == {"keyMaterialId": after}
    kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other)
    assert last_record(server)["additionalEventData"] == {
        "sourceKeyMaterialId": before,
        "destinationKeyMaterialId": current_material(kms, other),
    }
    kms.generate_random(NumberOfBytes=1)
    assert "additionalEventData" not in last_record(server)


def test_an_allowed_call(server: RunningServer, kms: KMSClient, key_id: str) -> None:
    answer = kms.encrypt(KeyId=key_id, Plaintext=b"very secret plaintext", EncryptionContext={"a": "b"})
    record = last_record(server)
    arn = f"arn:aws:kms:us-east-1:000000000000:key/{key_id}"
    assert record.pop("requestID") == answer["ResponseMetadata"]["RequestId"]
    assert len(record.pop("eventID")) == 36
    assert record.pop("eventTime").endswith("Z")
    assert record.pop("userAgent").startswith("Boto3/")
    identity = record.pop("userIdentity")
    assert identity.pop("accessKeyId").startswith("AKIA")
    assert identity == {
        "type": "Root",
        "principalId": "000000000000",
        "arn": "arn:aws:iam::000000000000:root",
        "accountId": "000000000000",
    }
    assert record == {
        "eventVersion": "1.11",
        "eventSource": "kms.amazonaws.com",
        "eventName": "Encrypt",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "127.0.0.1",
        "requestParameters": {
            "keyId": key_id,
            "encryptionContext": {"a": "b"},
            "encryptionAlgorithm": "SYMMETRIC_DEFAULT",
        },
        "responseElements": None,
        "additionalEventData": {"keyMaterialId": current_material(kms, key_id)},
        "readOnly": True,
        "resources": [{"accountId": "000000000000", "type": "AWS::KMS::Key", "ARN": arn}],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": "000000000000",
        "eventCategory": "Management",
    }


def test_refused_calls(server: RunningServer, kms: KMSClient, key_id: str) -> None:
    kms.disable_key(KeyId=key_id)
    assert last_record(server)["responseElements"] == {"keyId": f"arn:aws:kms:us-east-1:000000000000:key/{key_id}"}
    assert last_record(server)["readOnly"] is False
    assert error_code_of(kms.encrypt, KeyId=key_id, Plaintext=b"x") == "DisabledException"
    assert last_record(server)["errorCode"] == "DisabledException"
    assert last_record(server)["errorMessage"].endswith("is disabled.")
    assert error_code_of(kms.encrypt, KeyId=key_id, Plaintext=bytes(4097)) == "ValidationException"
    assert last_record(server)["requestParameters"] is None
    request = signed(server, "DescribeKey", json.dumps({"KeyId": key_id}).encode())
    request.body += b" "
    assert send(server, request).error == "InvalidSignatureException"
    record = last_record(server)
    assert (record["eventName"], record["errorCode"]) == ("DescribeKey", "InvalidSignatureException")
    assert record["userIdentity"] == {"type": "Unknown"}


def test_a_new_key_and_both_keys_of_a_re_encryption_are_resources(
    server: RunningServer, kms: KMSClient, key_id: str
) -> None:
    made = kms.create_key(Tags=[{"TagKey": "team", "TagValue": "x"}])["KeyMetadata"]["Arn"]
    record = last_record(server)
    assert [resource["ARN"] for resource in record["resources"]] == [made]
    assert record["requestParameters"]["tags"] == [{"tagKey": "team", "tagValue": "x"}]
    assert record["responseElements"]["keyMetadata"]["arn"] == made
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=made)
    assert [resource["ARN"].rpartition("/")[2] for resource in last_record(server)["resources"]] == [
        key_id,
        made.rpartition("/")[2],
    ]


def test_no_secret_is_written_anywhere(server: RunningServer, kms: KMSClient, key_id: str) -> None:
    plaintext = b"the most secret of all plaintexts"
    data_key = kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")
    blob = kms.encrypt(KeyId=key_id, Plaintext=plaintext)["CiphertextBlob"]
    kms.decrypt(CiphertextBlob=blob)
    assert error_code_of(kms.encrypt, KeyId=key_id, Plaintext=plaintext * 200) == "ValidationException"
    token = "a-secret-grant-token"
    assert (
        error_code_of(kms.encrypt, KeyId=key_id, Plaintext=plaintext, GrantTokens=[token])
        == "InvalidGrantTokenException"
    )
    data = data_of(server)
    granted = kms.create_grant(KeyId=key_id, GranteePrincipal="000000000000", Operations=["Encrypt"])["GrantToken"]
    kms.encrypt(KeyId=key_id, Plaintext=plaintext, GrantTokens=[granted])
    kms.retire_grant(GrantToken=granted)
    secret = (data / "credentials").read_text().split()[-1]
    forbidden = [plaintext, data_key["Plaintext"], blob, token.encode(), granted.encode(), secret.encode()]
    forbidden += [base64.b64encode(each)[:-4] for each in forbidden]
    for name, content in written_data(data):
        assert not any(each in content for each in forbidden), name
