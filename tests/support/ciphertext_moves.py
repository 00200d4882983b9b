"""Runs migrations of ciphertexts between two simulated KMSs."""

from pathlib import Path
from typing import NamedTuple

from small_kms import SmallKms
from strongroom.aws_clients import AwsPlace
from strongroom.reencryption.ciphertexts import Side
from strongroom.reencryption.items import Place
from strongroom.reencryption.journal import Journal
from strongroom.reencryption.migration import Migration, Tally


class Services(NamedTuple):
    """The KMS that decrypts, and the one that encrypts."""

    old: SmallKms
    new: SmallKms


def run(
    services: Services,
    place: Place,
    journal: Path | None,
    *,
    in_base64: bool = False,
    context: dict[str, str] | None = None,
) -> tuple[Tally, list[tuple[str, str]]]:
    """Migrate a place; return the tally and the failures."""
    failures: list[tuple[str, str]] = []
    source = Side(services.old, AwsPlace(endpoint="https://old"), None, context or {})
    destination = Side(services.new, AwsPlace(endpoint="https://new"), "alias/new", context or {})

    def migrated(opened: Journal | None) -> Tally:
        return Migration(place=place, source=source, destination=destination, in_base64=in_base64, journal=opened).run(
            lambda _: None, lambda key, reason: failures.append((key, reason))
        )

    if journal is None:
        return migrated(None), failures
    with Journal(journal, "task") as opened:
        return migrated(opened), failures
