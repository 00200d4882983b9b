"""What programs that are not installed here ask of KMS, replayed with boto3 from their source.

Each function makes the calls of one program, in its order and with its parameters, and looks at those members of the
answers and those words of the errors that the program looks at. The versions that were read are in
``docs/works-with.md``; the operations that its section lists are compared with those that are called here.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import load_der_public_key

from client_errors import error_code_of, error_of
from policies import allow, document
from replays import Replay
from strongroom import testing

PAGE = Path(__file__).parents[3] / "docs" / "works-with.md"
DIGEST = hashlib.sha256(b"artifact").digest()
REGIONS = ("us-east-1", "eu-west-1")
TWO_WEEKS = 14
"""Days."""


@pytest.fixture(scope="module")
def server() -> Iterator[testing.Server]:
    """A development server, because some programs wait for weeks."""
    with testing.server(regions=REGIONS) as server:
        yield server


def new_key(replay: Replay, **arguments: Any) -> Any:
    """Make a key as the administrator, not as the program: this is not one of its calls."""
    return replay.account.client().create_key(**arguments)["KeyMetadata"]


def aws_encryption_provider(replay: Replay) -> None:
    """Its health check encrypts and decrypts; a liveness probe passes if the fault is the user's, by code or words."""
    key, context = new_key(replay)["Arn"], {"cluster": "blue"}
    # With --source-arn it adds this to each request, before it signs it.
    deputy = {"X-Amz-Source-Arn": "arn:aws:eks:us-east-1:111122223333:cluster/blue"}
    replay.kms.meta.events.register("before-call", lambda params, **_: params["headers"].update(deputy))
    blob = replay.kms.encrypt(KeyId=key, Plaintext=b"foo", EncryptionContext=context)["CiphertextBlob"]
    # kube-apiserver refuses an encrypted data key of more than a kilobyte; the provider adds one byte.
    assert len(replay.kms.encrypt(KeyId=key, Plaintext=bytes(32))["CiphertextBlob"]) < 1024
    opened = {"CiphertextBlob": blob, "EncryptionContext": context}
    assert replay.kms.decrypt(**opened)["Plaintext"] == b"foo"
    assert error_code_of(replay.kms.decrypt, CiphertextBlob=blob) == "InvalidCiphertextException"
    admin = replay.account.client()
    admin.disable_key(KeyId=key)
    assert error_code_of(replay.kms.encrypt, KeyId=key, Plaintext=b"foo") == "DisabledException"
    admin.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert error_code_of(replay.kms.decrypt, **opened) == "KMSInvalidStateException"
    replay.clock.advance(days=8)
    gone = error_of(replay.kms.decrypt, **opened)
    assert gone["Code"] == "AccessDeniedException"
    assert "does not exist" in gone["Message"]


def cosign(replay: Replay) -> None:
    """It signs with the first algorithm that the metadata list, and makes a key if its alias is not found."""
    name = "alias/release"
    assert error_code_of(replay.kms.get_public_key, KeyId=name) == "NotFoundException"
    made = replay.kms.create_key(
        CustomerMasterKeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY", Description="Created by Sigstore"
    )
    replay.kms.create_alias(AliasName=name, TargetKeyId=made["KeyMetadata"]["KeyId"])
    for key in (name, made["KeyMetadata"]["Arn"]):
        assert replay.kms.describe_key(KeyId=key)["KeyMetadata"]["SigningAlgorithms"][0] == "ECDSA_SHA_256"
    signing = {"KeyId": name, "Message": DIGEST, "MessageType": "DIGEST", "SigningAlgorithm": "ECDSA_SHA_256"}
    signature = replay.kms.sign(**signing)["Signature"]
    public = load_der_public_key(replay.kms.get_public_key(KeyId=name)["PublicKey"])
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature, DIGEST, ec.ECDSA(Prehashed(hashes.SHA256())))
    assert replay.kms.verify(**signing, Signature=signature)["SignatureValid"]
    rsa = new_key(replay, KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    assert rsa["SigningAlgorithms"][0] in {"RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PSS_SHA_256"}


def spire(replay: Replay) -> None:
    """It finds its keys by their aliases, updates each alias every six hours, and ends those that are two weeks old."""
    role = replay.role(allow())
    machine = replay.user(allow(do="sts:AssumeRole"))
    server = machine.assume(role, "spire-1")
    kms = server.kms
    arn = server.sts.get_caller_identity()["Arn"]
    assert arn.split(":")[-1].split("/")[:2] == ["assumed-role", "program"]
    policy = document(
        allow(role), allow(f"arn:aws:iam::{server.account.account}:root", do=["kms:Describe*", "kms:List*", "kms:Get*"])
    )
    described = {"Description": "SPIRE_SERVER_KEY/example_org/x509-CA-A", "KeyUsage": "SIGN_VERIFY"}
    tags = [{"TagKey": "team", "TagValue": "identity"}]
    key, other = (
        kms.create_key(KeySpec=spec, Policy=policy, Tags=tags, **described)["KeyMetadata"]["Arn"]
        for spec in ("ECC_NIST_P256", "RSA_2048")
    )
    names = [f"alias/SPIRE_SERVER/example_org/{each}/x509-CA-A" for each in ("one", "two")]
    for name, target in zip(names, (key, other), strict=True):
        assert kms.get_public_key(KeyId=target)["PublicKey"]
        kms.create_alias(AliasName=name, TargetKeyId=target)
    replay.clock.advance(days=TWO_WEEKS)
    kms = machine.assume(role, "spire-2").kms
    # It has its session from the machine.
    replay.calls.remove("AssumeRole")
    assert kms.describe_key(KeyId=names[0])["KeyMetadata"]["Arn"] == key
    kms.update_alias(AliasName=names[0], TargetKeyId=key)
    seen = {
        alias["AliasName"]: alias
        for page in kms.get_paginator("list_aliases").paginate(PaginationConfig={"PageSize": 1})
        for alias in page["Aliases"]
    }
    fresh, stale = (seen[name]["LastUpdatedDate"].timestamp() for name in names)
    assert fresh - stale >= TWO_WEEKS * 86400 - 60, "an update to the same key counts as one"
    assert kms.describe_key(KeyId=seen[names[1]]["AliasArn"])["KeyMetadata"]["Enabled"]
    kms.delete_alias(AliasName=names[1])
    # A key without an alias, which a failure has left behind.
    assert other in {each["KeyArn"] for each in kms.list_keys(Limit=1000)["Keys"]}
    metadata = kms.describe_key(KeyId=other)["KeyMetadata"]
    assert metadata["Description"].startswith("SPIRE_SERVER_KEY/example_org")
    assert kms.list_aliases(KeyId=other, Limit=1)["Aliases"] == []
    assert kms.schedule_key_deletion(KeyId=other, PendingWindowInDays=7)["KeyState"] == "PendingDeletion"
    assert error_code_of(kms.schedule_key_deletion, KeyId=other) == "KMSInvalidStateException"
    signed = kms.sign(KeyId=key, Message=DIGEST, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256")
    assert signed["Signature"]
    assert {tag["TagKey"] for tag in replay.account.client().list_resource_tags(KeyId=key)["Tags"]} == {"team"}


def teleport(replay: Replay) -> None:
    """It makes multi-Region keys, moves the primary, and deletes keys with its tags that it does not know."""
    kms = replay.kms
    assert replay.sts.get_caller_identity()["Account"] == replay.account.account
    tags = [{"TagKey": "TeleportCluster", "TagValue": "teleport.example.org"}]
    asked = {"Description": "Teleport CA key", "KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}
    arn, unused = (kms.create_key(MultiRegion=True, Tags=tags, **asked)["KeyMetadata"]["Arn"] for _ in range(2))
    key = arn.rpartition("/")[2]
    assert key.startswith("mrk-")
    found = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert found["KeyState"] == "Enabled"
    assert found["MultiRegionConfiguration"]["PrimaryKey"]["Arn"] == arn
    made = kms.replicate_key(KeyId=key, ReplicaRegion=REGIONS[1], Tags=tags)["ReplicaKeyMetadata"]["Arn"]
    assert made == arn.replace(*REGIONS)
    kms.update_primary_region(KeyId=key, PrimaryRegion=REGIONS[1])
    public = load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    assert isinstance(public, ec.EllipticCurvePublicKey)
    there = replay.account.client(region=REGIONS[1])
    for client in (kms, there):
        signature = client.sign(KeyId=key, Message=DIGEST, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256")
        public.verify(signature["Signature"], DIGEST, ec.ECDSA(Prehashed(hashes.SHA256())))
    page = kms.list_keys(Limit=1000)
    assert {each["KeyArn"] for each in page["Keys"]} == {arn, unused}
    assert kms.list_resource_tags(KeyId=unused.rpartition("/")[2])["Tags"] == tags
    kms.schedule_key_deletion(KeyId=unused, PendingWindowInDays=7)
    rsa = kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
    encrypter: Any = load_der_public_key(kms.get_public_key(KeyId=rsa)["PublicKey"])
    blob = encrypter.encrypt(b"x", padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
    opened = kms.decrypt(KeyId=rsa, CiphertextBlob=blob, EncryptionAlgorithm="RSAES_OAEP_SHA_256")
    assert opened["Plaintext"] == b"x"


def step_ca(replay: Replay) -> None:
    """It tags the key with its name, and puts the first eight digits of the key id into the alias."""
    made = replay.kms.create_key(
        Description="intermediate",
        KeySpec="ECC_NIST_P256",
        KeyUsage="SIGN_VERIFY",
        Tags=[{"TagKey": "name", "TagValue": "intermediate"}],
    )["KeyMetadata"]
    replay.kms.create_alias(AliasName=f"alias/intermediate-{made['KeyId'][:8]}", TargetKeyId=made["KeyId"])
    public = load_der_public_key(replay.kms.get_public_key(KeyId=made["KeyId"])["PublicKey"])
    signature = replay.kms.sign(
        KeyId=made["KeyId"], SigningAlgorithm="ECDSA_SHA_256", Message=DIGEST, MessageType="DIGEST"
    )["Signature"]
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature, DIGEST, ec.ECDSA(Prehashed(hashes.SHA256())))
    # A decrypter, which SCEP needs.
    rsa = new_key(replay, KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyId"]
    encrypter: Any = load_der_public_key(replay.kms.get_public_key(KeyId=rsa)["PublicKey"])
    for name, hashed in (("SHA_1", hashes.SHA1()), ("SHA_256", hashes.SHA256())):  # noqa: S303 - AWS's algorithm
        blob = encrypter.encrypt(b"challenge", padding.OAEP(padding.MGF1(hashed), hashed, None))
        opened = replay.kms.decrypt(KeyId=rsa, CiphertextBlob=blob, EncryptionAlgorithm=f"RSAES_OAEP_{name}")
        assert opened["Plaintext"] == b"challenge"


def vault(replay: Replay) -> None:
    """It reads the key's ARN when it starts, and names no key when it decrypts."""
    new_key(replay)
    key = new_key(replay)
    replay.account.client().create_alias(AliasName="alias/unseal", TargetKeyId=key["KeyId"])
    assert replay.kms.describe_key(KeyId="alias/unseal")["KeyMetadata"]["Arn"] == key["Arn"]
    made = replay.kms.encrypt(KeyId="alias/unseal", Plaintext=bytes(32))
    assert made["KeyId"] == key["Arn"]
    assert replay.kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == bytes(32)


def flux(replay: Replay) -> None:
    """Its controller opens what SOPS has encrypted; without a context it sends an empty one."""
    key = new_key(replay)["Arn"]
    admin, controller = replay.account.client(), replay.user(allow(do="kms:Decrypt"))
    admin.create_alias(AliasName="alias/flux", TargetKeyId=key)
    for context in ({}, {"app": "web"}):
        blob = admin.encrypt(KeyId=key, Plaintext=bytes(32), EncryptionContext=context)["CiphertextBlob"]
        for arn in (key, key.partition(":key/")[0] + ":alias/flux"):
            opened = controller.kms.decrypt(KeyId=arn, CiphertextBlob=blob, EncryptionContext=context)
            assert opened["Plaintext"] == bytes(32)


def mariadb(replay: Replay) -> None:
    """Its data keys are made without their plaintext, and opened when they are first used."""
    key = new_key(replay)["KeyId"]
    for spec, size in (("AES_128", 16), ("AES_256", 32)):
        made = replay.kms.generate_data_key_without_plaintext(KeyId=key, KeySpec=spec)
        assert "Plaintext" not in made
        assert len(replay.kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"]) == size


def cockroachdb(replay: Replay) -> None:
    """The key is the path of the URI; a role is assumed at the same endpoint."""
    key = new_key(replay)["Arn"]
    session = replay.user(allow(do="sts:AssumeRole")).assume(replay.role(allow()), "1732924800000000000")
    for arn in (key, key.rpartition("/")[2]):
        blob = session.kms.encrypt(KeyId=arn, Plaintext=bytes(32))["CiphertextBlob"]
        assert session.kms.decrypt(KeyId=arn, CiphertextBlob=blob)["Plaintext"] == bytes(32)


def iceberg(replay: Replay) -> None:
    """The algorithm is always named, in GenerateDataKey the length."""
    key, algorithm = new_key(replay)["KeyId"], {"EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}
    blob = replay.kms.encrypt(KeyId=key, Plaintext=bytes(16), **algorithm)["CiphertextBlob"]
    assert replay.kms.decrypt(KeyId=key, CiphertextBlob=blob, **algorithm)["Plaintext"] == bytes(16)
    made = replay.kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    opened = replay.kms.decrypt(KeyId=key, CiphertextBlob=made["CiphertextBlob"], **algorithm)
    assert opened["Plaintext"] == made["Plaintext"]


def aws_kms_pkcs11(replay: Replay) -> None:
    """Without a configuration every key is a slot, and one that does not sign has no public key."""
    symmetric = new_key(replay)["KeyId"]
    specs = {"ECC_NIST_P256": "ECDSA_SHA_256", "RSA_2048": "RSASSA_PSS_SHA_256", "ML_DSA_44": "ML_DSA_SHAKE_256"}
    keys = {new_key(replay, KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyId"]: spec for spec in specs}
    page = replay.kms.list_keys(Limit=1000)
    assert {each["KeyId"] for each in page["Keys"]} == {symmetric, *keys}
    assert not page["Truncated"]
    assert error_code_of(replay.kms.get_public_key, KeyId=symmetric) == "UnsupportedOperationException"
    for key, spec in keys.items():
        made = replay.kms.get_public_key(KeyId=key)
        assert (made["KeySpec"], len(made["PublicKey"]) > 64) == (spec, True)
        kind = "RAW" if spec.startswith("ML_DSA") else "DIGEST"
        signature = replay.kms.sign(KeyId=key, Message=DIGEST, MessageType=kind, SigningAlgorithm=specs[spec])
        assert signature["Signature"]


def kroxylicious(replay: Replay) -> None:
    """It resolves an alias, and takes a key that awaits its deletion for one that is not there, by these words."""
    assert error_code_of(replay.kms.describe_key, KeyId="alias/KEK-orders") == "NotFoundException"
    admin, key = replay.account.client(), new_key(replay)["KeyId"]
    admin.create_alias(AliasName="alias/KEK-orders", TargetKeyId=key)
    # Its manual gives the proxy's user rights by the aliases of keys.
    of_aliases = {"ForAnyValue:StringLike": {"kms:ResourceAliases": "alias/KEK-*"}}
    actions = ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*", "kms:DescribeKey"]
    on = f"arn:aws:kms:*:{replay.account.account}:key/*"
    proxy = replay.user(allow(do=actions, on=on, when=of_aliases))
    found = proxy.kms.describe_key(KeyId="alias/KEK-orders")["KeyMetadata"]
    assert (found["KeyId"], found["Arn"].endswith(key)) == (key, True)
    made = proxy.kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    assert proxy.kms.decrypt(KeyId=key, CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
    admin.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    refused = error_of(proxy.kms.generate_data_key, KeyId=key, KeySpec="AES_256")
    assert refused["Code"] == "KMSInvalidStateException"
    assert "is pending deletion" in refused["Message"]


def terraform(replay: Replay) -> None:
    """After each change it reads until it sees it; a key that is pending deletion is gone."""
    kms = replay.kms
    policy = document(allow(f"arn:aws:iam::{replay.account.account}:root"))
    tags = [{"TagKey": "team", "TagValue": "blue"}]
    for spec, usage in (("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), ("ECC_NIST_P256", "SIGN_VERIFY")):
        key = kms.create_key(
            BypassPolicyLockoutSafetyCheck=False, KeySpec=spec, KeyUsage=usage, Tags=tags, Policy=policy
        )["KeyMetadata"]["KeyId"]
        assert kms.describe_key(KeyId=key)["KeyMetadata"]["Enabled"]
        assert json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]) == json.loads(policy)
        assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False
        assert kms.list_resource_tags(KeyId=key, Limit=50)["Tags"] == tags
        if spec == "SYMMETRIC_DEFAULT":
            terraform_updates(replay, key, policy)
        assert kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)["KeyState"] == "PendingDeletion"
        assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"
        again = error_of(kms.schedule_key_deletion, KeyId=key, PendingWindowInDays=7)
        assert (again["Code"], "is pending deletion" in again["Message"]) == ("KMSInvalidStateException", True)


def terraform_updates(replay: Replay, key: str, policy: str) -> None:
    """Play the changes of ``aws_kms_key``, ``aws_kms_alias``, ``aws_kms_key_policy`` and ``aws_kms_grant``."""
    kms = replay.kms
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=180)
    status = kms.get_key_rotation_status(KeyId=key)
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 180)
    kms.disable_key_rotation(KeyId=key)
    kms.update_key_description(KeyId=key, Description="for the blue team")
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Description"] == "for the blue team"
    kms.put_key_policy(KeyId=key, Policy=policy, PolicyName="default", BypassPolicyLockoutSafetyCheck=False)
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "stage", "TagValue": "test"}])
    kms.untag_resource(KeyId=key, TagKeys=["team"])
    assert [tag["TagKey"] for tag in kms.list_resource_tags(KeyId=key)["Tags"]] == ["stage"]
    kms.disable_key(KeyId=key)
    kms.enable_key(KeyId=key)
    kms.create_alias(AliasName="alias/blue", TargetKeyId=key)
    kms.update_alias(AliasName="alias/blue", TargetKeyId=key)
    (alias,) = kms.list_aliases()["Aliases"]
    assert (alias["AliasName"], alias["TargetKeyId"]) == ("alias/blue", key)
    kms.delete_alias(AliasName="alias/blue")
    assert error_code_of(kms.delete_alias, AliasName="alias/blue") == "NotFoundException"
    grantee = f"arn:aws:iam::{replay.account.account}:root"
    constraints = {"EncryptionContextEquals": {"team": "blue"}}
    # The one that is not configured is sent as well, empty.
    sent = constraints | {"EncryptionContextSubset": {}}
    grant = kms.create_grant(
        KeyId=key, GranteePrincipal=grantee, Operations=["Encrypt", "Decrypt"], Name="blue", Constraints=sent
    )
    (listed,) = kms.list_grants(KeyId=key, Limit=100)["Grants"]
    assert (listed["GrantId"], listed["GranteePrincipal"], listed["Constraints"]) == (
        grant["GrantId"],
        grantee,
        constraints,
    )
    kms.revoke_grant(KeyId=key, GrantId=grant["GrantId"])
    assert kms.list_grants(KeyId=key, Limit=100)["Grants"] == []


PROGRAMS: dict[str, Callable[[Replay], None]] = {
    "Kubernetes secrets": aws_encryption_provider,
    "cosign": cosign,
    "SPIRE": spire,
    "Teleport": teleport,
    "step-ca": step_ca,
    "HashiCorp Vault": vault,
    "Flux": flux,
    "MariaDB": mariadb,
    "CockroachDB": cockroachdb,
    "Apache Iceberg": iceberg,
    "aws-kms-pkcs11": aws_kms_pkcs11,
    "Kroxylicious": kroxylicious,
    "Terraform, current provider": terraform,
}
"""The title of a section of the page → the calls of the program."""


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program(server: testing.Server, program: str) -> None:
    calls: set[str] = set()
    PROGRAMS[program](Replay(server, server.create_account(), calls))
    section = re.search(rf"^## {re.escape(program)}$(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert section is not None
    listed = re.search(r"^Calls: (.*?)\.$", section[1], re.MULTILINE | re.DOTALL)
    assert listed is not None
    assert set(re.findall(r"\w+", listed[1])) == calls


def test_every_program_that_was_only_read_is_replayed() -> None:
    """Those of which an old release runs in CI are replayed, too."""
    rows = re.findall(r"^\| \[([^]]+)\]\([^)]*\) \|.*\| only read", PAGE.read_text(), re.MULTILINE)
    assert set(rows) == PROGRAMS.keys()
