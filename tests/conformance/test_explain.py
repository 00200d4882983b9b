"""``strongroom explain`` and ``strongroom who-can``: the decisions of the running service, with their reasons."""

from typing import Any

import pytest
from mypy_boto3_kms.client import KMSClient

from accounts import Account, data_of, last_record, strongroom, succeed
from audits import audit_records
from client_errors import error_of
from identities import ACCOUNT, ACCOUNT_ROOT, Identities, Person
from local_server import RunningServer
from policies import Json, allow, deny, document

DELEGATES = allow(ACCOUNT_ROOT, Sid="Delegate")


class Asking:
    """Asks about keys of the server."""

    def __init__(self, server: RunningServer, kms: KMSClient) -> None:
        self.data = data_of(server)
        self.server = server
        self.kms = kms

    def key(self, *statements: Json) -> str:
        """Return the ARN of a new key with a policy of these statements."""
        policy = document(*statements)
        return self.kms.create_key(Policy=policy, BypassPolicyLockoutSafetyCheck=True)["KeyMetadata"]["Arn"]

    def explain(self, principal: str, action: str, key: str, *more: str) -> tuple[int, dict[str, str]]:
        """Return the exit code, and the answer: its first line under ``answer``, the others under their labels."""
        asked = ("--principal", principal, "--action", action, "--key", key, *more)
        done = strongroom(self.data, "explain", *asked)
        assert done.stderr == ""
        first, *lines = done.stdout.splitlines()
        return done.returncode, {line[2:14].strip(): line[14:] for line in lines} | {"answer": first}

    def refused_like(self, user: Person, key: str, answer: dict[str, str]) -> None:
        """Encrypt as the user, and see that service, record and explanation agree."""
        refusal = error_of(user.kms.encrypt, KeyId=key, Plaintext=b"x")
        assert answer["AWS's words"] == refusal["Message"]
        decision = last_record(self.server)["additionalEventData"]["decision"]
        assert decision["allowed"] is False
        for name in ("policy", "statement", "missing"):
            if name in decision:
                assert decision[name] in answer["because"]


@pytest.fixture
def asking(server: RunningServer, kms: KMSClient) -> Asking:
    return Asking(server, kms)


# --- allowed


def test_allowed_by_a_statement_of_the_key_policy(asking: Asking, identities: Identities) -> None:
    user = identities.user()
    key = asking.key(DELEGATES, allow(user.arn, do="kms:Encrypt", Sid="Encryptors"), allow(user.arn, do="kms:Decrypt"))
    assert asking.explain(user.arn, "kms:Encrypt", key) == (
        0,
        {
            "answer": "ALLOWED",
            "principal": user.arn,
            "action": "kms:Encrypt",
            "key": key,
            "because": "the key policy, Encryptors, allows it",
        },
    )
    # The third statement has no Sid; action names have no case; the service may be left out.
    assert asking.explain(user.arn, "decrypt", key)[1]["because"] == "the key policy, statement 3, allows it"


def test_allowed_by_delegation_to_an_identity_policy(asking: Asking, identities: Identities) -> None:
    inline = identities.user(allow(do="kms:Encrypt", Sid="Mine"))
    attached = identities.user()
    arn = identities.policy(allow(do="kms:Decrypt"), allow(do="kms:Encrypt"))
    identities.iam.attach_user_policy(UserName=attached.name, PolicyArn=arn)
    key = asking.key(DELEGATES)
    assert asking.explain(inline.arn, "kms:Encrypt", key)[1]["because"] == (
        f"{inline.arn} inline policy own, Mine, allows it"
    )
    assert asking.explain(attached.arn, "kms:Encrypt", key)[1]["because"] == f"{arn}, statement 2, allows it"
    assert asking.explain(ACCOUNT_ROOT, "kms:Encrypt", key)[1]["because"] == "the key policy, Delegate, allows it"


def test_allowed_by_a_grant_within_its_constraints(asking: Asking, identities: Identities) -> None:
    user = identities.user()
    key = asking.key(DELEGATES)
    made = asking.kms.create_grant(
        KeyId=key,
        GranteePrincipal=user.arn,
        Operations=["Encrypt"],
        Constraints={"EncryptionContextSubset": {"team": "red"}},
    )
    context = ("--context", "team=red", "--context", "year=2026=7")
    code, answer = asking.explain(user.arn, "kms:Encrypt", key, *context)
    assert (code, answer["because"]) == (0, f"grant {made['GrantId']}")
    assert asking.explain(user.arn, "kms:Encrypt", key)[0] == 1
    assert asking.explain(user.arn, "kms:Decrypt", key, *context)[0] == 1


def test_a_role_and_its_sessions(asking: Asking, identities: Identities) -> None:
    role = identities.role()
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role['RoleName']}/one"
    key = asking.key(DELEGATES, allow(role["Arn"], do="kms:Encrypt"), allow(session, do="kms:Decrypt"))
    assert asking.explain(role["Arn"], "kms:Encrypt", key)[0] == 0
    assert asking.explain(session, "kms:Encrypt", key)[0] == 0
    assert asking.explain(session, "kms:Decrypt", key)[0] == 0
    assert asking.explain(role["Arn"], "kms:Decrypt", key)[0] == 1


def test_by_alias_and_by_bare_id(asking: Asking, identities: Identities) -> None:
    user = identities.user()
    key = asking.key(DELEGATES, allow(user.arn, when={"StringEquals": {"kms:RequestAlias": "alias/asked"}}))
    key_id = key.rpartition("/")[2]
    asking.kms.create_alias(AliasName="alias/asked", TargetKeyId=key_id)
    assert asking.explain(user.arn, "kms:Encrypt", "alias/asked")[0] == 0
    assert asking.explain(user.arn, "kms:Encrypt", f"arn:aws:kms:us-east-1:{ACCOUNT}:alias/asked")[0] == 0
    code, answer = asking.explain(user.arn, "kms:Encrypt", key_id)
    assert (code, answer["key"]) == (1, key)


# --- denied, in the words of AWS and of the audit record


def test_denied_by_each_kind_of_policy(asking: Asking, identities: Identities) -> None:
    never = {**deny(do="kms:Encrypt"), "Sid": "Never"}
    by_identity = identities.user(allow(), never)
    by_boundary = identities.user(allow())
    limit = identities.policy(allow(do="kms:Decrypt"))
    identities.iam.put_user_permissions_boundary(UserName=by_boundary.name, PermissionsBoundary=limit)
    denied_by_boundary = identities.user(allow())
    bound = identities.policy(allow(), never)
    identities.iam.put_user_permissions_boundary(UserName=denied_by_boundary.name, PermissionsBoundary=bound)
    by_key = identities.user(allow())
    key = asking.key(DELEGATES, deny(by_key.arn, do="kms:Encrypt"))
    for user, because, tail in (
        (by_key, "the key policy, statement 2, denies it", "with an explicit deny in a resource-based policy"),
        (
            by_identity,
            f"{by_identity.arn} inline policy own, Never, denies it",
            "with an explicit deny in an identity-based policy",
        ),
        (denied_by_boundary, f"{bound}, Never, denies it", "with an explicit deny in a permissions boundary"),
        (
            by_boundary,
            "a permissions boundary would have to allow it, and none does",
            "because no permissions boundary allows the kms:Encrypt action",
        ),
    ):
        code, answer = asking.explain(user.arn, "kms:Encrypt", key)
        assert (code, answer["answer"], answer["because"]) == (1, "DENIED", because)
        assert answer["AWS's words"].endswith(tail)
        asking.refused_like(user, key, answer)


def test_denied_because_nothing_allows(asking: Asking, identities: Identities, away: Account) -> None:
    willing, silent, stranger = identities.user(allow()), identities.user(), away.identities.user(allow())
    closed, delegating = asking.key(allow(willing.arn, do="kms:Decrypt")), asking.key(DELEGATES)
    for user, key, because, tail in (
        (
            willing,
            closed,
            "the key policy neither allows the caller nor delegates to its account, and no grant matches",
            "because no resource-based policy allows the kms:Encrypt action",
        ),
        (
            silent,
            delegating,
            "an identity-based policy would have to allow it, and none does",
            "because no identity-based policy allows the kms:Encrypt action",
        ),
        (
            stranger,
            delegating,
            "a resource-based policy would have to allow it, and none does",
            "or a resource-based policy explicitly denies access",
        ),
    ):
        code, answer = asking.explain(user.arn, "kms:Encrypt", key)
        assert (code, answer["because"]) == (1, because)
        assert answer["AWS's words"].endswith(tail)
        asking.refused_like(user, key, answer)


def test_what_never_crosses_accounts(asking: Asking, away: Account) -> None:
    manager = away.identities.user(allow())
    key = asking.key(DELEGATES, allow(away.root))
    assert asking.explain(manager.arn, "kms:DescribeKey", key)[0] == 0
    code, answer = asking.explain(manager.arn, "kms:DisableKey", key)
    assert (code, answer["because"]) == (1, "this action works on keys of one's own account only")
    assert answer["AWS's words"] == error_of(manager.kms.disable_key, KeyId=key)["Message"]


FROM_TEN = {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "2001:db8::/32"]}}


@pytest.mark.parametrize(
    ("condition", "options", "allowed"),
    [
        (FROM_TEN, (), False),
        (FROM_TEN, ("--source-ip", "10.1.2.3"), True),
        (FROM_TEN, ("--source-ip", "::ffff:10.1.2.3"), True),
        (FROM_TEN, ("--source-ip", "11.1.2.3"), False),
        (FROM_TEN, ("--source-ip", "2001:DB8:0::1"), True),
        ({"Bool": {"aws:SecureTransport": "true"}}, (), True),
        ({"Bool": {"aws:SecureTransport": "true"}}, ("--no-tls",), False),
        ({"Bool": {"aws:SecureTransport": "false"}}, ("--no-tls",), True),
    ],
)
def test_where_a_call_comes_from_and_how(
    asking: Asking, identities: Identities, condition: Json, options: tuple[str, ...], *, allowed: bool
) -> None:
    user = identities.user(allow(do="kms:Encrypt", when=condition))
    key = asking.key(DELEGATES)
    code, answer = asking.explain(user.arn, "kms:Encrypt", key, *options)
    assert (code, answer["answer"]) == ((0, "ALLOWED") if allowed else (1, "DENIED"))
    listed = succeed(asking.data, "who-can", "kms:Encrypt", "--key", key, *options)
    assert (user.arn in listed) is allowed


def test_calls_from_here_are_explained_as_the_service_decides_them(asking: Asking, identities: Identities) -> None:
    """The test's own calls come from 127.0.0.1, without TLS."""
    for condition in ({"Bool": {"aws:SecureTransport": "true"}}, {"NotIpAddress": {"aws:SourceIp": "127.0.0.0/8"}}):
        user = identities.user(allow(do="kms:Encrypt", when=condition))
        key = asking.key(DELEGATES)
        code, answer = asking.explain(user.arn, "kms:Encrypt", key, "--source-ip", "127.0.0.1", "--no-tls")
        assert code == 1
        asking.refused_like(user, key, answer)


@pytest.mark.parametrize("text", ["", "localhost", "10.0.0.0/8", "1.2.3", "10.1.2.3 "])
def test_what_is_no_address(asking: Asking, text: str) -> None:
    done = strongroom(asking.data, "who-can", "kms:ListKeys", "--source-ip", text)
    assert done.returncode == 2
    assert f"`{text}` is not an IP address" in done.stderr


# --- who can


def test_who_can(asking: Asking, identities: Identities, away: Account) -> None:
    owner, friend, grantee = identities.user(), away.identities.user(allow(do="kms:Encrypt")), identities.user()
    key = asking.key(
        allow(owner.arn, do="kms:*", Sid="Owner"), allow(away.root, do="kms:Encrypt"), allow("S:backup.amazonaws.com")
    )
    owner.kms.create_grant(KeyId=key, GranteePrincipal=grantee.arn, Operations=["Encrypt"])
    lines = succeed(asking.data, "who-can", "kms:Encrypt", "--key", key).splitlines()
    found = dict(line.split("\t") for line in lines)
    assert found.pop(owner.arn) == "the key policy, Owner, allows it"
    assert found.pop(friend.arn) == f"{friend.arn} inline policy own, statement 1, allows it"
    assert found.pop(grantee.arn).startswith("grant ")
    assert found.pop(away.root) == "the account root needs no policy of its own where the key policy names its account"
    # What is left may be principals of that account that other tests made, but none of this account.
    assert not [name for name in found if f":{ACCOUNT}:" in name]


def test_who_can_list_keys(asking: Asking, identities: Identities) -> None:
    lister, other = identities.user(allow(do="kms:List*")), identities.user(allow(do="kms:Encrypt"))
    found = succeed(asking.data, "who-can", "ListKeys")
    assert f"{lister.arn}\t{lister.arn} inline policy own, statement 1, allows it\n" in found
    assert f"{ACCOUNT_ROOT}\tthe account root needs no policy of its own\n" in found
    assert other.arn not in found


# --- questions without an answer


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"action": "kms:NoSuchAction"}, "there is no action kms:NoSuchAction"),
        ({"action": "iam:CreateUser"}, "there is no action iam:CreateUser"),
        ({"action": "kms:*"}, "there is no action kms:*"),
        ({"action": "kms:ReEncrypt"}, "there is no action kms:ReEncrypt"),
        ({"action": "kms:ListKeys"}, "kms:ListKeys is an action on no key; leave the key out"),
        ({"action": "kms:RetireGrant"}, "who may retire a grant depends on the grant, not on its key"),
        ({"principal": f"arn:aws:iam::{ACCOUNT}:user/nobody"}, f"there is no principal arn:aws:iam::{ACCOUNT}:user/no"),
        ({"principal": "nobody"}, "there is no principal nobody"),
        ({"key": "12345678-1234-1234-1234-123456789012"}, f"Key 'arn:aws:kms:us-east-1:{ACCOUNT}:key/12345678"),
        ({"key": "arn:aws:kms:us-east-1:444455556666:key/12345678-1234-1234-1234-123456789012"}, "does not exist"),
        ({"key": "alias/nothing"}, f"Alias arn:aws:kms:us-east-1:{ACCOUNT}:alias/nothing is not found."),
        ({"key": "nothing"}, "Invalid keyId 'nothing'"),
        ({"key": "arn:aws"}, "Invalid arn arn:aws"),
        ({"key": "arn:aws:s3:us-east-1:1:key/x"}, "Invalid arn arn:aws:s3:us-east-1:1:key/x"),
    ],
)
def test_questions_without_an_answer(asking: Asking, key_id: str, changed: Json, message: str) -> None:
    asked: Any = {"principal": ACCOUNT_ROOT, "action": "kms:Encrypt", "key": key_id} | changed
    options = [part for name, value in asked.items() for part in (f"--{name}", value)]
    done = strongroom(asking.data, "explain", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_an_action_on_a_key_needs_one(asking: Asking) -> None:
    done = strongroom(asking.data, "explain", "--principal", ACCOUNT_ROOT, "--action", "kms:Encrypt")
    assert done.stderr == "Error: kms:Encrypt is an action on a key; say which with --key\n"


def test_asking_changes_nothing(asking: Asking, identities: Identities) -> None:
    succeed(asking.data, "service", "create", "explained.amazonaws.com")
    user = identities.user(allow())
    before = {alias["AliasName"] for alias in user.kms.list_aliases(Limit=100)["Aliases"]}
    records = audit_records(asking.data)
    for action in ("kms:DescribeKey", "kms:Encrypt"):
        asked = ("--principal", user.arn, "--action", action, "--key", "alias/aws/explained")
        done = strongroom(asking.data, "explain", *asked)
        assert "alias/aws/explained is not found" in done.stderr
    done = strongroom(asking.data, "who-can", "kms:Encrypt", "--key", "alias/x", "--region", "ap-south-1")
    assert "Alias arn:aws:kms:ap-south-1" in done.stderr
    assert audit_records(asking.data) == records
    assert {alias["AliasName"] for alias in user.kms.list_aliases(Limit=100)["Aliases"]} == before
