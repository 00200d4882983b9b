"""The last use of an access key is written at most once a minute, and only for valid signatures."""

from botocore.credentials import Credentials

from direct_client import DirectClient
from strongroom.store.records import AccessKeyRecord


def record(direct: DirectClient) -> AccessKeyRecord:
    """Run the keeper, and return the stored record of the root's access key."""
    direct.local.deployment.keeper.run()
    with direct.local.deployment.backends.store.read() as reader:
        found = reader.access_key(str(direct.profile().access_key))
    assert found is not None
    return found


def test_the_last_use_is_written_once_a_minute(direct: DirectClient) -> None:
    root, clock = direct.profile(), direct.local.clock
    assert record(direct).last_used_at is None
    began = clock.now()
    direct.kms(root, "ListKeys")
    assert (record(direct).last_used_at, record(direct).last_used_service) == (began, "kms")
    clock.advance(59)
    direct.query(root, "sts", "GetCallerIdentity")
    assert record(direct).last_used_at == began
    clock.advance(1)
    direct.query(root, "sts", "GetCallerIdentity")
    assert record(direct).last_used_at == began + 60
    assert (record(direct).last_used_service, record(direct).last_used_region) == ("sts", "us-east-1")


def test_a_refused_call_is_a_use_and_a_forged_signature_is_not(direct: DirectClient) -> None:
    root = direct.profile()
    direct.kms(Credentials(root.access_key, "not the secret"), "ListKeys")
    assert record(direct).last_used_at is None
    direct.kms(root, "DescribeKey", KeyId="nothing")
    assert record(direct).last_used_at == direct.local.clock.now()


def test_using_a_session_is_no_use_of_the_access_key_that_created_it(direct: DirectClient) -> None:
    began = direct.local.clock.now()
    made = direct.query(direct.profile(), "sts", "GetSessionToken")
    session = Credentials(*(made.field(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")))
    assert record(direct).last_used_at == began
    direct.local.clock.advance(600)
    assert direct.kms(session, "ListKeys").status == 200
    assert record(direct).last_used_at == began
