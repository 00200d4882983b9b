"""The list of all keys, with each back end."""

from msgspec.structs import replace

from keys_builder import make_key
from strongroom.keys.arns import AliasLocator, KeyLocator
from strongroom.store.protocol import Store
from strongroom.store.records import AliasRecord, KeyUse

NOW = 1_790_000_000.0
ACCOUNT = "111122223333"
REGION = "us-east-1"


def test_all_keys_are_listed_with_their_last_uses_and_grants(store: Store) -> None:
    keys = [make_key(number, tags=(("a", "1"),)) for number in range(3)]
    for number, account, region in ((9, "000000000001", REGION), (8, ACCOUNT, "eu-west-1")):
        key = make_key(number)
        elsewhere = KeyLocator(account, region, key.key_id)
        keys.append(replace(key, account=account, region=region, arn=elsewhere.arn))
    for key in keys:
        store.write(lambda transaction: transaction.add_key(key))  # noqa: B023 - run at once
    uses = [KeyUse(key.locator, "Decrypt", NOW + number, f"e{number}", "r") for number, key in enumerate(keys[1:])]
    store.write(lambda transaction: transaction.note_key_uses(uses, NOW))
    record = AliasRecord(AliasLocator(ACCOUNT, REGION, "alias/a"), keys[1].key_id, NOW, NOW)
    store.write(lambda transaction: transaction.put_alias(record, None))
    expected = sorted(keys, key=lambda key: (key.account, key.region, key.key_id))
    with store.read() as reader:
        found = list(reader.all_keys())
        saved = list(reader.key_uses())
    assert [each.locator for each in found] == [key.locator for key in expected]
    named = replace(keys[1], aliases=(record.locator.name,))
    assert [each.key for each in found] == [named if key is keys[1] else key for key in expected]
    by_key = {use.locator: use for use in uses}
    assert [each.use for each in found] == [by_key.get(key.locator) for key in expected]
    assert [use.event_id for use in saved] == [by_key[key.locator].event_id for key in expected if key is not keys[0]]
    assert {each.grants for each in found} == {0}
