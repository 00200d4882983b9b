"""The file ``moved`` of a data folder: its database is being moved, or was moved elsewhere, so none may serve it."""

from enum import StrEnum

import msgspec

from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.whole_files import read_regular, replace_file, sync_path

_ABOUT = """\
# Strongroom wrote this file with `strongroom migrate`. As long as it is here, no server uses `strongroom.db`.
"""


class MoveState(StrEnum):
    """How far a move has come."""

    LEAVING = "leaving"
    """The deployment is being moved out of ``strongroom.db``. It may be in the other database already."""
    LEFT = "left"
    """The deployment is in the other database, and ``strongroom.db`` is from before."""
    ARRIVING = "arriving"
    """The deployment is being moved to ``strongroom.db``, which does not have it yet."""


class MoveMark(msgspec.Struct, frozen=True):
    """What is known of a move: the name of the other database, and the id of the history that begins with the move."""

    state: MoveState
    other: str
    history_id: str


def read_mark(folder: DataFolder) -> MoveMark | None:
    """Return what is known of a move, None if there was none; raises DataFolderError if the file is damaged."""
    try:
        lines = read_regular(folder.moved).splitlines()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(lines[-1], type=MoveMark)
    except (IndexError, msgspec.DecodeError, UnicodeDecodeError):
        raise DataFolderError(
            f"`{folder.moved}` is damaged, so it is not known where the deployment is; restore the file"
        ) from None


def write_mark(folder: DataFolder, mark: MoveMark) -> None:
    """Write what is known of a move; it is on disk when this returns. Raises OSError."""
    replace_file(folder.moved, _ABOUT.encode() + msgspec.json.encode(mark) + b"\n")


def remove_mark(folder: DataFolder) -> None:
    """Forget a move; raises OSError."""
    folder.moved.unlink(missing_ok=True)
    sync_path(folder.path)


def require_not_moved(folder: DataFolder) -> None:
    """Refuse to serve or change a database that was moved, or is being moved; raises DataFolderError."""
    mark = read_mark(folder)
    if mark is None:
        return
    if mark.state is MoveState.LEFT:
        raise DataFolderError(
            f"the deployment in `{folder.database}` has moved to {mark.other}: set `store` to the address of that"
        )
    raise DataFolderError(
        f"moving the deployment of `{folder.path}` {'to' if mark.state is MoveState.LEAVING else 'from'} {mark.other} "
        "was interrupted; run the same `strongroom migrate` again, which finishes it or begins anew"
    )
