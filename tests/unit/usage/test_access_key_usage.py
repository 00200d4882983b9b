"""When access keys were last used: once a minute at most, and only what somebody signed with."""

from botocore.credentials import Credentials

from doors import Door
from strongroom.store.protocol import AccessKeyRecord


def record(door: Door) -> AccessKeyRecord:
    """Return what is known of the root's access key after the keeper's round."""
    door.bench.deployment.keeper.run()
    with door.bench.deployment.backends.store.read() as reader:
        found = reader.access_key(str(door.profile().access_key))
    assert found is not None
    return found


def test_the_last_use_is_written_down_once_a_minute(door: Door) -> None:
    root, clock = door.profile(), door.bench.clock
    assert record(door).last_used_at is None
    began = clock.now()
    door.kms(root, "ListKeys")
    assert (record(door).last_used_at, record(door).last_used_service) == (began, "kms")
    clock.advance(59)
    door.query(root, "sts", "GetCallerIdentity")
    assert record(door).last_used_at == began
    clock.advance(1)
    door.query(root, "sts", "GetCallerIdentity")
    assert record(door).last_used_at == began + 60
    assert (record(door).last_used_service, record(door).last_used_region) == ("sts", "us-east-1")


def test_a_refused_call_is_a_use_and_a_forged_one_is_not(door: Door) -> None:
    root = door.profile()
    door.kms(Credentials(root.access_key, "not the secret"), "ListKeys")
    assert record(door).last_used_at is None
    door.kms(root, "DescribeKey", KeyId="nothing")
    assert record(door).last_used_at == door.bench.clock.now()


def test_a_session_is_no_use_of_the_key_it_was_made_with(door: Door) -> None:
    began = door.bench.clock.now()
    made = door.query(door.profile(), "sts", "GetSessionToken")
    session = Credentials(*(made.field(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")))
    assert record(door).last_used_at == began
    door.bench.clock.advance(600)
    assert door.kms(session, "ListKeys").status == 200
    assert record(door).last_used_at == began
