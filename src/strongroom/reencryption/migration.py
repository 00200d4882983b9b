"""Migrates the ciphertexts of a place, one after another.

For each: decrypt, encrypt, decrypt again and compare; note both contents in the journal; replace; read back and
compare; note that it is done. The old ciphertext is in its place until the new one, verified, replaces it at once.
"""

from collections.abc import Callable

import msgspec

from strongroom.reencryption.ciphertexts import Side, reencrypt
from strongroom.reencryption.encodings import decode, encode
from strongroom.reencryption.items import Item, ItemError, Place
from strongroom.reencryption.journal import Journal


class Tally(msgspec.Struct):
    """What a run did: items that it migrated, that were migrated before, and that failed."""

    migrated: int = 0
    before: int = 0
    failed: int = 0


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """What is migrated, and how. Without a journal it is a dry run, which replaces nothing."""

    place: Place
    source: Side
    destination: Side
    in_base64: bool
    journal: Journal | None

    def run(self, advance: Callable[[int], None], failed: Callable[[str, str], None]) -> Tally:
        """Migrate every item.

        ``advance`` is told of each one, and ``failed`` of each that is left as it was, with the reason. Raises
        PlaceError if the place cannot be read, and AwsError if a service does not answer: what was done until then is
        in the journal.
        """
        tally = Tally()
        for item in self.place.items():
            try:
                if self._migrate(item):
                    tally.migrated += 1
                else:
                    tally.before += 1
            except ItemError as error:
                tally.failed += 1
                failed(item.key, str(error))
            advance(1)
        return tally

    def _migrate(self, item: Item) -> bool:
        """Migrate an item; return False if that was done before."""
        old = item.read()
        journal = self.journal
        if journal is not None and journal.is_done(item.key, old):
            journal.end(item.key)
            return False
        encoded = decode(old, in_base64=self.in_base64)
        blob = reencrypt(encoded.blob, item.key, self.source, self.destination)
        if journal is None:
            return True
        new = encode(blob, encoded.end, in_base64=self.in_base64)
        journal.begin(item.key, old, new)
        item.replace(old, new)
        if item.read() != new:
            raise ItemError("it was replaced, and has another content now: something else writes it")
        journal.end(item.key)
        return True
