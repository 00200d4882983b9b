"""Grants over the API: the operations they permit, their constraints, and the list of a key's grants."""

import re
from pathlib import Path
from typing import Any

import pytest
from mypy_boto3_kms.client import KMSClient

from accounts import data_of, last_record
from audits import audit_bytes
from client_errors import error_code_of, error_of
from clients import client_of
from identities import ACCOUNT, ACCOUNT_ROOT, Identities, Person
from local_server import RunningServer, running_server
from policies import allow, deny, document
from sessions import SessionClients, assume

KEYS = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/"


def grant(kms: Any, key_id: str, to: str, *operations: str, **more: Any) -> str:
    """Make a grant; return its id."""
    grant_id: str = kms.create_grant(KeyId=key_id, GranteePrincipal=to, Operations=operations, **more)["GrantId"]
    return grant_id


def use(key_id: str, context: dict[str, str]) -> dict[str, Any]:
    return {"KeyId": key_id, "Plaintext": b"x", "EncryptionContext": context}


@pytest.fixture
def user(identities: Identities) -> Person:
    return identities.user()


def test_a_grantee_may_do_what_the_grant_says_and_nothing_else(
    kms: KMSClient, identities: Identities, user: Person, key_id: str
) -> None:
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    denial = f"User: {user.arn} is not authorized to perform: kms:Encrypt on resource: {KEYS}{key_id} "
    assert error_of(user.kms.encrypt, KeyId=key_id, Plaintext=b"x") == {
        "Code": "AccessDeniedException",
        "Message": denial + "because no identity-based policy allows the kms:Encrypt action",
    }
    made = kms.create_grant(KeyId=key_id, GranteePrincipal=user.arn, Operations=["Encrypt", "DescribeKey"])
    assert set(made) - {"ResponseMetadata"} == {"GrantId", "GrantToken"}
    assert re.fullmatch("[0-9a-f]{64}", made["GrantId"])
    blob = user.kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    assert user.kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyId"] == key_id
    for call, arguments in (
        (user.kms.decrypt, {"CiphertextBlob": blob}),
        (user.kms.generate_data_key, {"KeyId": key_id, "KeySpec": "AES_256"}),
        (user.kms.encrypt, {"KeyId": other, "Plaintext": b"x"}),
        (user.kms.list_grants, {"KeyId": key_id}),
        (user.kms.disable_key, {"KeyId": key_id}),
        (identities.user().kms.encrypt, {"KeyId": key_id, "Plaintext": b"x"}),
    ):
        assert error_code_of(call, **arguments) == "AccessDeniedException"


def test_a_role_a_session_and_an_account_can_be_grantees(
    server: RunningServer, kms: KMSClient, identities: Identities, user: Person, key_id: str
) -> None:
    role = identities.role(user.arn)
    one, two = (SessionClients(server, assume(user.sts, role["Arn"], name)) for name in ("one", "two"))
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role['RoleName']}/one"
    grant(kms, key_id, role["Arn"], "Encrypt")
    grant(kms, key_id, session, "Decrypt")
    blob = two.kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    assert one.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert error_code_of(two.kms.decrypt, CiphertextBlob=blob) == "AccessDeniedException"
    assert error_code_of(user.kms.encrypt, KeyId=key_id, Plaintext=b"x") == "AccessDeniedException"
    # A grant to an account delegates to the account's own policies.
    grant(kms, key_id, ACCOUNT_ROOT, "Decrypt")
    assert error_code_of(user.kms.decrypt, CiphertextBlob=blob) == "AccessDeniedException"
    assert identities.user(allow(do="kms:Decrypt")).kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_a_grant_to_a_role_does_not_widen_a_session_policy(
    server: RunningServer, kms: KMSClient, identities: Identities, user: Person, key_id: str
) -> None:
    role = identities.role(user.arn)
    grant(kms, key_id, role["Arn"], "Encrypt", "DescribeKey")
    only = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:DescribeKey","Resource":"*"}}'
    session = SessionClients(server, assume(user.sts, role["Arn"], Policy=only))
    session.kms.describe_key(KeyId=key_id)
    assert error_of(session.kms.encrypt, KeyId=key_id, Plaintext=b"x")["Message"].endswith(
        "because no session policy allows the kms:Encrypt action"
    )


def test_encryption_context_constraints(kms: KMSClient, identities: Identities, user: Person, key_id: str) -> None:
    other = identities.user()
    both = ["Encrypt", "Decrypt", "DescribeKey"]
    grant(kms, key_id, user.arn, *both, Constraints={"EncryptionContextEquals": {"Dept": "IT", "year": "26"}})
    grant(kms, key_id, other.arn, *both, Constraints={"EncryptionContextSubset": {"Dept": "IT"}})
    exact = {"Dept": "IT", "year": "26"}
    user.kms.encrypt(**use(key_id, {"dept": "IT", "YEAR": "26"}))
    blob = user.kms.encrypt(**use(key_id, exact))["CiphertextBlob"]
    assert user.kms.decrypt(CiphertextBlob=blob, EncryptionContext=exact)["Plaintext"] == b"x"
    for refused in ({}, {"Dept": "IT"}, {**exact, "more": "x"}, {**exact, "Dept": "it"}):
        assert error_code_of(user.kms.encrypt, **use(key_id, refused)) == "AccessDeniedException"
        assert (
            error_code_of(user.kms.decrypt, CiphertextBlob=blob, EncryptionContext=refused) == "AccessDeniedException"
        )
    for allowed in ({"Dept": "IT"}, {**exact, "more": "x"}, {"dEPT": "IT"}):
        other.kms.encrypt(**use(key_id, allowed))
    for refused in ({}, {"Dept": "HR"}, {"year": "26"}, {"Dept": "it"}):
        assert error_code_of(other.kms.encrypt, **use(key_id, refused)) == "AccessDeniedException"
    for each in (user, other):
        each.kms.describe_key(KeyId=key_id)


def test_re_encryption_needs_a_grant_on_each_side_and_each_has_its_own_context(
    kms: KMSClient, user: Person, key_id: str
) -> None:
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext={"a": "1"})["CiphertextBlob"]
    call = {"CiphertextBlob": blob, "DestinationKeyId": other, "SourceEncryptionContext": {"a": "1"}}
    grant(kms, key_id, user.arn, "ReEncryptFrom", Constraints={"EncryptionContextEquals": {"a": "1"}})
    assert "kms:ReEncryptTo" in error_of(user.kms.re_encrypt, **call)["Message"]
    grant(kms, other, user.arn, "ReEncryptTo", Constraints={"EncryptionContextEquals": {"b": "2"}})
    assert error_code_of(user.kms.re_encrypt, **call) == "AccessDeniedException"
    moved = user.kms.re_encrypt(**call, DestinationEncryptionContext={"b": "2"})
    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"b": "2"})["Plaintext"] == b"x"


def test_a_name_makes_a_retry_safe(kms: KMSClient, user: Person, key_id: str) -> None:
    call: dict[str, Any] = {"KeyId": key_id, "GranteePrincipal": user.arn, "Operations": ["Encrypt", "Decrypt"]}
    unnamed = [kms.create_grant(**call) for _ in range(2)]
    first, again = (kms.create_grant(**call, Name="nightly") for _ in range(2))
    assert first["GrantId"] == again["GrantId"]
    assert first["GrantToken"] != again["GrantToken"]
    shuffled = kms.create_grant(**{**call, "Operations": ["Decrypt", "Encrypt"]}, Name="nightly")
    assert shuffled["GrantId"] == first["GrantId"]
    others = [
        kms.create_grant(**{**call, **more, "Name": "nightly"})
        for more in (
            {"Operations": ["Encrypt"]},
            {"GranteePrincipal": ACCOUNT_ROOT},
            {"RetiringPrincipal": user.arn},
            {"Constraints": {"EncryptionContextSubset": {"a": "1"}}},
        )
    ]
    assert len({made["GrantId"] for made in (*unnamed, first, *others)}) == 7
    assert len(kms.list_grants(KeyId=key_id)["Grants"]) == 7


def test_a_token_is_usable_at_once_and_no_other_text_is(
    kms: KMSClient, user: Person, key_id: str, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {
        "KeyId": key_id,
        "GranteePrincipal": user.arn,
        "Operations": ["Encrypt", "RetireGrant"],
    }
    token = kms.create_grant(**asked)["GrantToken"]
    user.kms.encrypt(KeyId=key_id, Plaintext=b"x", GrantTokens=[token])
    with running_server(tmp_path / "data", tmp_path / "log") as elsewhere:
        there = client_of(elsewhere)
        foreign = there.create_grant(
            KeyId=there.create_key()["KeyMetadata"]["KeyId"], GranteePrincipal=ACCOUNT, Operations=["Encrypt"]
        )["GrantToken"]
    for bad in ("garbage", "!", "\u00e9", token[:-4], token[:40] + token[44:], foreign):
        for call, arguments in (
            (user.kms.encrypt, {"KeyId": key_id, "Plaintext": b"x", "GrantTokens": [token, bad]}),
            (kms.create_grant, {**asked, "GrantTokens": [bad]}),
            (user.kms.retire_grant, {"GrantToken": bad}),
        ):
            assert error_code_of(call, **arguments) == "InvalidGrantTokenException"
    # A token proves that a grant was made; it gives other principals no permission.
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    assert error_code_of(user.kms.encrypt, KeyId=other, Plaintext=b"x", GrantTokens=[token]) == "AccessDeniedException"
    user.kms.retire_grant(GrantToken=token)
    assert error_code_of(user.kms.encrypt, KeyId=key_id, Plaintext=b"x", GrantTokens=[token]) == "AccessDeniedException"


def test_no_token_gets_into_the_audit_log(server: RunningServer, kms: KMSClient, user: Person, key_id: str) -> None:
    made = kms.create_grant(
        KeyId=key_id,
        GranteePrincipal=user.arn,
        Operations=["Encrypt", "RetireGrant"],
        Constraints={"EncryptionContextSubset": {"a": "1"}},
    )
    token = made["GrantToken"]
    record = last_record(server)
    assert record["responseElements"] == {"grantId": made["GrantId"], "keyId": KEYS + key_id}
    assert record["readOnly"] is False
    assert record["requestParameters"] == {
        "keyId": key_id,
        "granteePrincipal": user.arn,
        "operations": ["Encrypt", "RetireGrant"],
        "constraints": {"encryptionContextSubset": {"a": "1"}},
    }
    user.kms.encrypt(**use(key_id, {"a": "1"}), GrantTokens=[token])
    user.kms.retire_grant(GrantToken=token)
    assert last_record(server)["requestParameters"] is None
    assert last_record(server)["additionalEventData"] == {"grantId": made["GrantId"]}
    assert token.encode() not in audit_bytes(data_of(server))


@pytest.mark.parametrize("constraint", ["EncryptionContextSubset", "EncryptionContextEquals"])
def test_a_grantee_who_may_make_grants_passes_on_no_more_than_it_has(
    kms: KMSClient, identities: Identities, user: Person, key_id: str, constraint: str
) -> None:
    helper = identities.user()
    within: Any = {"Constraints": {constraint: {"Dept": "IT"}}}
    grant(kms, key_id, user.arn, "Encrypt", "CreateGrant", **within)
    call: dict[str, Any] = {"KeyId": key_id, "GranteePrincipal": helper.arn, "Operations": ["Encrypt"]}
    for refused in (
        call,
        {**call, **within, "Operations": ["Decrypt"]},
        {**call, **within, "Operations": ["Encrypt", "DescribeKey"]},
        {**call, "Constraints": {constraint: {"Dept": "HR"}}},
        {**call, "Constraints": {constraint: {"more": "x"}}},
    ):
        assert error_code_of(user.kms.create_grant, **refused) == "AccessDeniedException"
    tighter = user.kms.create_grant(**call, Constraints={"EncryptionContextEquals": {"dept": "IT"}})
    helper.kms.encrypt(**use(key_id, {"Dept": "IT"}))
    assert error_code_of(helper.kms.encrypt, **use(key_id, {"Dept": "IT", "more": "x"})) == "AccessDeniedException"
    assert error_code_of(helper.kms.create_grant, **call, **within) == "AccessDeniedException"
    user.kms.create_grant(**{**call, "Operations": ["Encrypt", "CreateGrant"]}, **within)
    helper.kms.create_grant(**{**call, "GranteePrincipal": ACCOUNT}, **within)
    loosened = {**call, "Constraints": {"EncryptionContextSubset": {"Dept": "IT"}}}
    if constraint == "EncryptionContextEquals":
        assert error_code_of(user.kms.create_grant, **loosened) == "AccessDeniedException"
    # The maker of a passed-on grant has no rights over it afterwards.
    assert error_code_of(user.kms.revoke_grant, KeyId=key_id, GrantId=tighter["GrantId"]) == "AccessDeniedException"


@pytest.mark.parametrize("kind", ["EncryptionContextEquals", "EncryptionContextSubset"])
def test_an_empty_constraint_beside_another_is_none(kms: KMSClient, user: Person, key_id: str, kind: str) -> None:
    both: Any = {"EncryptionContextEquals": {}, "EncryptionContextSubset": {}, kind: {"Dept": "IT"}}
    kms.create_grant(KeyId=key_id, GranteePrincipal=user.arn, Operations=["Encrypt"], Constraints=both)
    assert kms.list_grants(KeyId=key_id)["Grants"][0]["Constraints"] == {kind: {"Dept": "IT"}}


def test_what_create_grant_refuses(kms: KMSClient, user: Person, key_id: str) -> None:
    call: dict[str, Any] = {"KeyId": key_id, "GranteePrincipal": user.arn, "Operations": ["Encrypt"]}

    def refusal(**more: Any) -> tuple[str, str]:
        asked = {name: value for name, value in {**call, **more}.items() if value is not None}
        found = error_of(kms.create_grant, **asked)
        return found["Code"], found["Message"]

    nobody = f"arn:aws:iam::{ACCOUNT}:user/nobody"
    for principal in (nobody, f"arn:aws:iam::{ACCOUNT}:group/g", "arn:aws:iam::999999999999:root", "AIDANOBODY"):
        wanted = ("InvalidArnException", f"ARN does not refer to a valid principal: {principal}")
        assert refusal(GranteePrincipal=principal) == wanted
        assert refusal(RetiringPrincipal=principal) == wanted
    only = ("ValidationException", "Grants must not contain only the CreateGrant operation.")
    assert refusal(Operations=["CreateGrant"]) == only
    two = {"EncryptionContextEquals": {"a": "1"}, "EncryptionContextSubset": {"a": "1"}}
    assert refusal(Constraints=two) == ("ValidationException", "More than one constraint supplied")
    alias = ("InvalidArnException", "Key Aliases are not supported for this operation.")
    assert refusal(KeyId="alias/x") == alias
    source: Any = {"SourceArn": f"arn:aws:s3:us-east-1:{ACCOUNT}:bucket"}
    service: dict[str, Any] = {"GranteePrincipal": None, "GranteeServicePrincipal": "backup.amazonaws.com"}
    bad: list[dict[str, Any]] = [
        {"Operations": []},
        {"Operations": ["Sign"]},
        {"Operations": ["Encrypt", "GetPublicKey"]},
        {"Operations": ["PutKeyPolicy"]},
        {"GranteePrincipal": None},
        {"GranteeServicePrincipal": "backup.amazonaws.com"},
        {"RetiringPrincipal": user.arn, "RetiringServicePrincipal": "backup.amazonaws.com"},
        {**service, "RetiringPrincipal": user.arn},
        {**service, "Constraints": source},
        {"Constraints": {"EncryptionContextSubset": {str(n): "" for n in range(9)}}},
        {"Constraints": {"EncryptionContextSubset": {"a": "x" * 385}}},
        {"Constraints": {"SourceArn": "not-an-arn-but-long-enough"}},
        {"Name": "a b"},
    ]
    for more in bad:
        assert refusal(**more)[0] == "ValidationException", more
    assert kms.list_grants(KeyId=key_id)["Grants"] == []
    kms.create_grant(
        **{name: value for name, value in {**call, **service}.items() if value is not None},
        Constraints=source,
        RetiringServicePrincipal="backup.amazonaws.com",
    )
    kms.create_grant(**call, Constraints={"EncryptionContextSubset": {str(n): "x" * 384 for n in range(8)}})


def test_the_state_of_the_key_counts(kms: KMSClient, user: Person, key_id: str) -> None:
    arn = KEYS + key_id
    made = [grant(kms, key_id, user.arn, "Encrypt") for _ in range(4)]
    call: dict[str, Any] = {"KeyId": key_id, "GranteePrincipal": user.arn, "Operations": ["Encrypt"]}
    for stop, code, message in (
        (kms.disable_key, "DisabledException", f"{arn} is disabled."),
        (kms.schedule_key_deletion, "KMSInvalidStateException", f"{arn} is pending deletion."),
    ):
        stop(KeyId=key_id)
        for dry in (False, True):
            assert error_of(kms.create_grant, **call, DryRun=dry) == {"Code": code, "Message": message}
        assert len(kms.list_grants(KeyId=key_id)["Grants"]) == len(made)
        kms.revoke_grant(KeyId=key_id, GrantId=made.pop())
        kms.retire_grant(KeyId=arn, GrantId=made.pop())


@pytest.mark.parametrize("member", ["GranteePrincipal", "RetiringPrincipal"])
@pytest.mark.parametrize("operator", ["StringEquals", "ArnLike"])
def test_a_denied_party_of_a_grant_is_denied_under_all_of_its_names(
    kms: KMSClient, identities: Identities, user: Person, member: str, operator: str
) -> None:
    role = identities.role()
    unwanted = {operator: {f"kms:{member}": [ACCOUNT_ROOT, role["Arn"]]}}
    policy = document(allow(ACCOUNT_ROOT), deny(ACCOUNT_ROOT, do="kms:CreateGrant", when=unwanted))
    key_id = kms.create_key(Policy=policy)["KeyMetadata"]["KeyId"]
    asked: Any = {"KeyId": key_id, "GranteePrincipal": user.arn, "RetiringPrincipal": user.arn}
    asked["Operations"] = ["Encrypt"]
    denied, unknown = "AccessDeniedException", "InvalidArnException"
    for name, code in {
        ACCOUNT_ROOT: denied,
        ACCOUNT: denied,
        f"arn:aws-cn:iam::{ACCOUNT}:root": denied,
        role["Arn"]: denied,
        f"arn:x:iam::{ACCOUNT}:root": denied,
        f"arn:x:s3:eu:{ACCOUNT}:root": denied,
        role["RoleId"]: unknown,
        f"arn:aws:sts::{ACCOUNT}:federated-user/visitor": unknown,
        role["Arn"].replace("role/", "role//"): unknown,
    }.items():
        assert error_code_of(kms.create_grant, **asked | {member: name}) == code, name
    assert kms.list_grants(KeyId=key_id)["Grants"] == []
    kms.create_grant(**asked)


def test_text_that_resembles_the_arn_of_an_account_is_no_principal(kms: KMSClient, key_id: str) -> None:
    for name in (f"arn:x:iam::{ACCOUNT}:root", f"arn:aws:sts::{ACCOUNT}:root", f"arn:aws:iam:us-east-1:{ACCOUNT}:root"):
        assert error_code_of(kms.create_grant, KeyId=key_id, GranteePrincipal=name, Operations=["Encrypt"]) == (
            "InvalidArnException"
        )
