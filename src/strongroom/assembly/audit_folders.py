"""The folders that an audit log is read from: those of nodes, with whole chains, and those of archives and copies."""

from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.node import read_node_id
from strongroom.audit.writer_id import parse_writer
from strongroom.node_id import NodeId
from strongroom.store.audit.segments import copies_of_segments


class AuditFolders(msgspec.Struct, frozen=True):
    """Folders with segments of the audit log. ``logs`` hold the chains of nodes, ``archives`` any part of them."""

    logs: Sequence[Path]
    archives: Sequence[Path] = ()

    @property
    def every(self) -> tuple[Path, ...]:
        """All folders, those of nodes first."""
        return (*self.logs, *self.archives)

    @property
    def originals(self) -> Collection[Path]:
        """The folders that nodes write, as far as that shows: this node's, and those in a data folder."""
        return {log for number, log in enumerate(self.logs) if not number or _data_folder(log).node_id.exists()}

    def nodes(self) -> set[NodeId]:
        """Return the nodes whose chains must be in ``logs``: by the identities there, and by the chains that are there.

        Raises DataFolderError if the identity in a data folder is damaged.
        """
        named = {read_node_id(_data_folder(log)) for log in self.logs}
        writers = {parse_writer(copies[0].writer) for copies in copies_of_segments(self.logs)}
        found = named | {writer.node for writer in writers if writer is not None}
        return {node for node in found if node is not None}


def require_log(folder: Path, option: str) -> Path:
    """Return the audit folder that an option means: the folder itself, or the one in a data folder.

    Raises DataFolderError if there is no audit log in it.
    """
    inside = folder / "audit"
    log = inside if inside.is_dir() else folder
    if not log.is_dir():
        raise DataFolderError(f"`{folder}` in {option} is not a folder")
    if not copies_of_segments([log]):
        raise DataFolderError(f"`{folder}` in {option} holds no audit log")
    return log


def _data_folder(log: Path) -> DataFolder:
    return DataFolder(log.parent)
