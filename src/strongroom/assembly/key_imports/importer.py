"""Imports exported keys, one after another.

Every step looks at what is there first, so an import can be run again: it goes on where it was interrupted, and adds
what could not be had before. What an operator has changed since stays as it is. What was removed since is made again,
unless the report of the earlier import says that it was there: grants, aliases, keys that were destroyed, and the
source's policy for a key that has the default one, which is enabled then if it is disabled.
"""

from collections.abc import Callable, Mapping

from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.key_imports.one_key import OneKey, Scene, Target
from strongroom.assembly.key_imports.report import Earlier, ImportedKey, ImportReport, Outcome
from strongroom.key_exports.document import KeyExport
from strongroom.keys.specs import Origin

_NOT_EXPORTED = "it was imported earlier, and is not in this export; what is here of it stays as it is"


def import_keys(  # noqa: PLR0913 - what is imported, to where, and what is known of it
    export: KeyExport,
    scene: Scene,
    target: Target,
    materials: Mapping[str, bytes],
    advance: Callable[[int, int], None],
    *,
    dry_run: bool,
    earlier: Earlier | None = None,
) -> ImportReport:
    """Import all keys of an export; a dry run changes nothing, and reports what would be done.

    ``materials`` has the material of keys of Origin EXTERNAL, by key id. ``advance`` is told of each key. What was
    there after an ``earlier`` import, and is not there any more, is not made again. Raises DataFolderError for a target
    that is not served or a key id that is not in the export, and KmsError if the database fails: what was imported
    until then stays, and the next run goes on.
    """
    _require(export, scene, target, materials)
    keys: list[ImportedKey] = []
    for exported in export.keys:
        there = frozenset() if earlier is None else earlier.get(exported.arn, frozenset())
        one = OneKey(scene, exported, export.account, target, materials.get(exported.key_id), there)
        keys.append(one.run(dry_run=dry_run))
        advance(1, len(export.keys))
    keys += _not_in(export, earlier or {})
    return ImportReport(
        source_account=export.account,
        source_region=export.region,
        account=target.account,
        region=target.region,
        dry_run=dry_run,
        complete=not any(key.missing for key in keys),
        keys=keys,
    )


def _not_in(export: KeyExport, earlier: Earlier) -> list[ImportedKey]:
    """Return what an earlier import has left of keys that the export lacks: a later import needs to know it."""
    exported = {each.arn for each in export.keys}
    return [
        ImportedKey(source_arn=arn, outcome=Outcome.SKIPPED, reason=_NOT_EXPORTED, there=sorted(there))
        for arn, there in sorted(earlier.items())
        if there and arn not in exported
    ]


def _require(export: KeyExport, scene: Scene, target: Target, materials: Mapping[str, bytes]) -> None:
    regions = scene.backends.regions
    if target.region not in regions:
        raise DataFolderError(
            f"the Region `{target.region}` is not served here, but {', '.join(regions)}: name one with --to-region"
        )
    with scene.backends.store.read() as reader:
        if reader.account(target.account) is None:
            raise DataFolderError(
                f"there is no account `{target.account}`: make it with strongroom account create, or name another"
            )
    external = {key.key_id for key in export.keys if key.origin is Origin.EXTERNAL}
    for key_id in materials:
        if key_id not in external:
            raise DataFolderError(f"--material: the export has no key `{key_id}` of Origin EXTERNAL")
