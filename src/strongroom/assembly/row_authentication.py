"""Has the store authenticate its rows, and adopts those that an older release wrote."""

import logging
from contextlib import nullcontext
from time import perf_counter

from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.databases.database import OwnStore
from strongroom.assembly.unsealing import Unsealing
from strongroom.crypto.domain_keys import IAM_SCOPE, DomainKeys, reseal
from strongroom.problems import Problems
from strongroom.store.protocol import Transaction
from strongroom.store.scopes import AccountScope

logger = logging.getLogger(__name__)


def authenticate_rows(
    folder: DataFolder,
    store: OwnStore,
    domain_keys: DomainKeys,
    problems: Problems,
    unsealing: Unsealing,
    *,
    taken: bool,
) -> None:
    """Authenticate all rows that are read and written from now on.

    If an older release wrote the database, its rows have no codes yet: each is given one, once. ``taken`` tells that
    this process has locked the folder; otherwise it is locked for that time. Raises DataFolderError if it is in use.
    """
    store.authenticate(domain_keys.row_keys, problems)
    if domain_keys.rows_have_codes:
        return
    with nullcontext() if taken else folder.locked_to_upgrade():
        _adopt(folder, store, unsealing)


def _adopt(folder: DataFolder, store: OwnStore, unsealing: Unsealing) -> None:
    """Give every row a code, and seal the domain key anew in the same transaction: after it, no row may lack one."""
    begun = perf_counter()
    with store.read() as reader:
        sealed = reader.domain_keys()
    seal = unsealing.seal(folder, sealed)
    resealed = [reseal(each, seal) for each in sealed if each.scope == IAM_SCOPE]

    def act(transaction: Transaction) -> int:
        for each in resealed:
            transaction.replace_domain_key(each)
        return transaction.adopt_rows()

    adopted = store.write(act, AccountScope(""))
    logger.warning(
        "an older release wrote %s: %d of its records were taken as they are and are authenticated from now on "
        "(%.1f seconds)",
        folder.database_name,
        adopted,
        perf_counter() - begun,
    )
