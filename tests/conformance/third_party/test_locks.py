"""What these tests install is locked by hash, and comes from whatever index the machine is configured for."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
LOCKS = sorted([*HERE.glob("*/*.txt"), *HERE.glob("*/package-lock.json")])


@pytest.mark.parametrize("lock", [str(lock.relative_to(HERE)) for lock in LOCKS])
def test_a_lock_file_has_hashes_and_names_no_index(lock: str) -> None:
    text = (HERE / lock).read_text()
    assert ('"integrity"' if lock.endswith(".json") else "--hash=sha256:") in text
    assert "://" not in text
    assert "--index" not in text
