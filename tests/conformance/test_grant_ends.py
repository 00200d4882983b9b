"""RetireGrant and RevokeGrant: which principals may end a grant, and that it permits nothing afterwards."""

from typing import Any

import pytest
from mypy_boto3_kms.client import KMSClient

from accounts import Account
from client_errors import error_code_of, error_of
from clients import client_of
from identities import ACCOUNT, ACCOUNT_ROOT, Identities, Person
from local_server import RunningServer
from policies import allow, deny, document
from sessions import SessionClients, assume

KEYS = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/"
NOWHERE = "0" * 64


def grant(kms: Any, key_id: str, to: str, *operations: str, **more: Any) -> str:
    """Make a grant, to encrypt if no operations are given; return its id."""
    made = kms.create_grant(KeyId=key_id, GranteePrincipal=to, Operations=operations or ["Encrypt"], **more)
    grant_id: str = made["GrantId"]
    return grant_id


def left(kms: Any, key_id: str) -> set[str]:
    return {each["GrantId"] for each in kms.list_grants(KeyId=key_id)["Grants"]}


@pytest.fixture
def user(identities: Identities) -> Person:
    return identities.user()


@pytest.mark.parametrize("end", ["retire by token", "retire by id", "revoke"])
def test_a_grant_that_has_ended_does_not_permit_the_next_call(
    kms: KMSClient, user: Person, key_id: str, end: str
) -> None:
    made = [kms.create_grant(KeyId=key_id, GranteePrincipal=user.arn, Operations=["Encrypt"]) for _ in range(2)]
    for number, each in enumerate(made):
        user.kms.encrypt(KeyId=key_id, Plaintext=b"x")
        if end == "retire by token":
            kms.retire_grant(GrantToken=each["GrantToken"])
        elif end == "retire by id":
            kms.retire_grant(KeyId=KEYS + key_id, GrantId=each["GrantId"])
        else:
            kms.revoke_grant(KeyId=key_id, GrantId=each["GrantId"])
        assert left(kms, key_id) == {later["GrantId"] for later in made[number + 1 :]}
    assert error_code_of(user.kms.encrypt, KeyId=key_id, Plaintext=b"x") == "AccessDeniedException"
    for call in (kms.retire_grant, kms.revoke_grant):
        assert error_code_of(call, KeyId=key_id, GrantId=made[0]["GrantId"]) == "NotFoundException"
    assert error_code_of(kms.retire_grant, GrantToken=made[0]["GrantToken"]) == "NotFoundException"


def test_who_may_retire_a_grant(
    server: RunningServer, kms: KMSClient, identities: Identities, user: Person, key_id: str
) -> None:
    retirer, grantee, stranger = identities.user(), identities.user(), identities.user()
    by_policy = identities.user(allow(do="kms:RetireGrant"))
    role = identities.role(user.arn)
    session = SessionClients(server, assume(user.sts, role["Arn"]))
    arn = KEYS + key_id

    def retired_by(who: Any, to: str = grantee.arn, *operations: str, **more: Any) -> bool:
        made = grant(kms, key_id, to, *(operations or ("Encrypt", "RetireGrant")), **more)
        if error_code_of(who.kms.retire_grant, KeyId=arn, GrantId=made, DryRun=True) == "DryRunOperationException":
            who.kms.retire_grant(KeyId=arn, GrantId=made)
        else:
            assert error_code_of(who.kms.retire_grant, KeyId=arn, GrantId=made) == "AccessDeniedException"
        return made not in left(kms, key_id)

    assert retired_by(retirer, RetiringPrincipal=retirer.arn)
    assert retired_by(grantee)
    assert retired_by(grantee, grantee.arn, "RetireGrant", Constraints={"EncryptionContextEquals": {"a": "1"}})
    assert retired_by(session, role["Arn"], "RetireGrant")
    assert retired_by(session, RetiringPrincipal=role["Arn"])
    assert retired_by(by_policy)
    for who in (stranger, retirer, user):
        assert not retired_by(who)
    assert not retired_by(grantee, grantee.arn, "Encrypt")
    assert not retired_by(stranger, RetiringPrincipal=retirer.arn)
    # Naming the account delegates to the account's own policies.
    assert not retired_by(stranger, RetiringPrincipal=ACCOUNT_ROOT)
    assert not retired_by(stranger, ACCOUNT_ROOT, "RetireGrant")


def test_the_account_that_made_a_grant_may_retire_it_as_its_root(kms: KMSClient, user: Person, key_id: str) -> None:
    """Whatever the key policy allows, or does not."""
    made = grant(kms, key_id, user.arn)
    kms.put_key_policy(KeyId=key_id, Policy=document(allow(ACCOUNT_ROOT, do=["kms:PutKeyPolicy", "kms:ListGrants"])))
    assert error_code_of(kms.revoke_grant, KeyId=key_id, GrantId=made) == "AccessDeniedException"
    kms.retire_grant(KeyId=key_id, GrantId=made)
    assert left(kms, key_id) == set()


def test_a_key_policy_cannot_allow_to_retire_but_it_can_deny(
    kms: KMSClient, identities: Identities, user: Person, key_id: str
) -> None:
    denied = identities.user()
    identity_denied = identities.user(deny(do="kms:RetireGrant"))
    kms.put_key_policy(
        KeyId=key_id,
        Policy=document(
            allow(ACCOUNT_ROOT), allow(user.arn, do="kms:RetireGrant"), deny(denied.arn, do="kms:RetireGrant")
        ),
    )
    made = grant(kms, key_id, ACCOUNT)
    call = {"KeyId": key_id, "GrantId": made}
    denial = f"is not authorized to perform: kms:RetireGrant on resource: {KEYS}{key_id} "
    assert error_of(user.kms.retire_grant, **call) == {
        "Code": "AccessDeniedException",
        "Message": f"User: {user.arn} {denial}because no identity-based policy allows the kms:RetireGrant action",
    }
    for who, whose in ((denied, "a resource-based policy"), (identity_denied, "an identity-based policy")):
        named = grant(kms, key_id, who.arn, "Encrypt", "RetireGrant", RetiringPrincipal=who.arn)
        assert error_of(who.kms.retire_grant, KeyId=key_id, GrantId=named) == {
            "Code": "AccessDeniedException",
            "Message": f"User: {who.arn} {denial}with an explicit deny in {whose}",
        }


def test_a_session_policy_limits_who_may_retire(
    server: RunningServer, kms: KMSClient, identities: Identities, user: Person, key_id: str
) -> None:
    role = identities.role(user.arn)
    made = grant(kms, key_id, ACCOUNT, RetiringPrincipal=role["Arn"])
    session = SessionClients(server, assume(user.sts, role["Arn"], Policy=document(allow(do="kms:Encrypt"))))
    assert error_of(session.kms.retire_grant, KeyId=key_id, GrantId=made)["Message"].endswith(
        "because no session policy allows the kms:RetireGrant action"
    )
    SessionClients(server, assume(user.sts, role["Arn"])).kms.retire_grant(KeyId=key_id, GrantId=made)


def test_revoking_is_for_whom_key_policy_and_iam_allow_it(
    kms: KMSClient, identities: Identities, user: Person, key_id: str
) -> None:
    made = grant(kms, key_id, user.arn, "Encrypt", "RetireGrant", "CreateGrant", RetiringPrincipal=user.arn)
    assert error_code_of(user.kms.revoke_grant, KeyId=key_id, GrantId=made) == "AccessDeniedException"
    identities.user(allow(do="kms:RevokeGrant")).kms.revoke_grant(KeyId=key_id, GrantId=made)
    by_key_policy = grant(kms, key_id, ACCOUNT)
    kms.put_key_policy(KeyId=key_id, Policy=document(allow(ACCOUNT_ROOT), allow(user.arn, do="kms:RevokeGrant")))
    user.kms.revoke_grant(KeyId=key_id, GrantId=by_key_policy)
    assert left(kms, key_id) == set()


def test_how_a_grant_is_named(server: RunningServer, kms: KMSClient, user: Person, key_id: str) -> None:
    made = kms.create_grant(KeyId=key_id, GranteePrincipal=user.arn, Operations=["Encrypt"])
    by_id, by_token = {"KeyId": KEYS + key_id, "GrantId": made["GrantId"]}, {"GrantToken": made["GrantToken"]}
    for wrong in ({}, {"KeyId": key_id}, {"GrantId": made["GrantId"]}, {**by_id, **by_token}):
        assert error_code_of(kms.retire_grant, **wrong) == "ValidationException"
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    for call in (kms.retire_grant, kms.revoke_grant):
        assert error_code_of(call, KeyId=other, GrantId=made["GrantId"]) == "NotFoundException"
        assert error_code_of(call, KeyId=key_id, GrantId=NOWHERE) == "NotFoundException"
        assert error_code_of(call, KeyId="alias/x", GrantId=made["GrantId"]) == "InvalidArnException"
    ireland = client_of(server, "eu-west-1")
    for elsewhere in (by_id, by_token):
        assert error_of(ireland.retire_grant, **elsewhere) == {
            "Code": "NotFoundException",
            "Message": "Invalid arn us-east-1",
        }
    assert left(kms, key_id) == {made["GrantId"]}


def test_a_dry_run_ends_nothing_and_makes_nothing(kms: KMSClient, user: Person, key_id: str) -> None:
    made = grant(kms, key_id, user.arn)
    succeeded = {
        "Code": "DryRunOperationException",
        "Message": "The request would have succeeded, but the DryRun option is set.",
    }
    call: dict[str, Any] = {"KeyId": key_id, "GranteePrincipal": user.arn, "Operations": ["Encrypt"], "DryRun": True}
    named: dict[str, Any] = {"KeyId": key_id, "GrantId": made, "DryRun": True}
    assert error_of(kms.create_grant, **call) == succeeded
    assert error_of(kms.create_grant, **call, Name="n") == succeeded
    assert error_of(kms.retire_grant, **named) == succeeded
    assert error_of(kms.revoke_grant, **named) == succeeded
    assert left(kms, key_id) == {made}
    for refused, arguments in (
        (user.kms.create_grant, call),
        (user.kms.retire_grant, named),
        (user.kms.revoke_grant, named),
    ):
        assert error_code_of(refused, **arguments) == "AccessDeniedException"
    assert error_code_of(kms.create_grant, **{**call, "Operations": ["CreateGrant"]}) == "ValidationException"
    for missing in (kms.retire_grant, kms.revoke_grant):
        assert error_code_of(missing, **{**named, "GrantId": NOWHERE}) == "NotFoundException"


def test_a_dry_run_tells_whether_a_grant_would_do(
    kms: KMSClient, identities: Identities, user: Person, key_id: str
) -> None:
    operations = ["Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey"]
    grant(kms, key_id, user.arn, *operations, "GenerateDataKeyWithoutPlaintext")
    stranger = identities.user()
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    calls: dict[str, dict[str, Any]] = {
        "encrypt": {"KeyId": key_id, "Plaintext": b"x"},
        "decrypt": {"CiphertextBlob": blob},
        "re_encrypt": {"CiphertextBlob": blob, "DestinationKeyId": key_id},
        "generate_data_key": {"KeyId": key_id, "KeySpec": "AES_256"},
        "generate_data_key_without_plaintext": {"KeyId": key_id, "KeySpec": "AES_256"},
    }
    for name, arguments in calls.items():
        assert error_code_of(getattr(user.kms, name), **arguments, DryRun=True) == "DryRunOperationException"
        assert error_code_of(getattr(stranger.kms, name), **arguments, DryRun=True) == "AccessDeniedException"


def test_another_account_needs_its_own_iam_policy_beside_the_grant(kms: KMSClient, away: Account, key_id: str) -> None:
    arn = KEYS + key_id
    allowed, silent = away.identities.user(allow(do="kms:*")), away.identities.user()
    hidden = (
        "kms:Encrypt on this resource because the resource does not exist in this Region, no resource-based policies "
        "allow access, or a resource-based policy explicitly denies access"
    )
    assert error_of(allowed.kms.encrypt, KeyId=arn, Plaintext=b"x") == {
        "Code": "AccessDeniedException",
        "Message": f"User: {allowed.arn} is not authorized to perform: {hidden}",
    }
    for each in (allowed, silent):
        grant(kms, key_id, each.arn, "Encrypt")
    assert allowed.kms.encrypt(KeyId=arn, Plaintext=b"x")["KeyId"] == arn
    assert error_code_of(silent.kms.encrypt, KeyId=arn, Plaintext=b"x") == "AccessDeniedException"
    whole = grant(kms, key_id, away.account, "GenerateDataKey", "RetireGrant", "CreateGrant")
    allowed.kms.generate_data_key(KeyId=arn, KeySpec="AES_256")
    assert error_code_of(silent.kms.generate_data_key, KeyId=arn, KeySpec="AES_256") == "AccessDeniedException"
    # A grant made from over there is issued by that account, which may therefore retire it.
    made = allowed.kms.create_grant(KeyId=arn, GranteePrincipal=silent.arn, Operations=["GenerateDataKey"])["GrantId"]
    (entry,) = (each for each in kms.list_grants(KeyId=key_id)["Grants"] if each["GrantId"] == made)
    assert entry["IssuingAccount"] == away.root
    away.kms.retire_grant(KeyId=arn, GrantId=made)
    kms.revoke_grant(KeyId=key_id, GrantId=whole)
    assert error_code_of(allowed.kms.generate_data_key, KeyId=arn, KeySpec="AES_256") == "AccessDeniedException"


def test_another_account_does_not_learn_which_keys_and_grants_there_are(
    kms: KMSClient, away: Account, user: Person, key_id: str
) -> None:
    made = grant(kms, key_id, user.arn)
    missing = KEYS + "00000000-0000-0000-0000-000000000000"
    refusals = [
        error_of(away.kms.retire_grant, KeyId=key, GrantId=grant_id)
        for key, grant_id in ((KEYS + key_id, made), (KEYS + key_id, NOWHERE), (missing, NOWHERE))
    ]
    assert refusals[0]["Code"] == "AccessDeniedException"
    assert refusals == refusals[:1] * 3
