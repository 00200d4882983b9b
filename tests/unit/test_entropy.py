"""Random UUIDs have the right format and do not repeat."""

import re
import uuid as standard

from strongroom.entropy import UuidBatch, system_entropy, uuid

UUID4 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_uuids_are_version_4_and_unique() -> None:
    batch = UuidBatch(system_entropy)
    made = [batch() for _ in range(2000)] + [uuid(system_entropy) for _ in range(100)]
    assert len(set(made)) == len(made)
    assert all(UUID4.fullmatch(each) for each in made)
    assert {standard.UUID(each).version for each in made} == {4}
