"""The setting cloudhsm-clusters of tests: clusters without a token, so that key stores in them are never connected."""

from softhsm import MODULE
from strongroom.settings import CloudHsmCluster

IDS = (
    *("cluster-2a34b5cdefg", "cluster-2a23b4cdefg", "cluster-abcdefghijk", "cluster-lmnopqrstuv"),
    *(f"cluster-{letter * 11}" for letter in "aef"),
    *(f"cluster-2a34b5cdef{digit}" for digit in range(2, 8)),
)

CLUSTERS = tuple(CloudHsmCluster(id=each, module=str(MODULE), token=each) for each in IDS)


def tables() -> str:
    """Return the setting as it is in a configuration file."""
    return "".join(
        f'[[cloudhsm-clusters]]\nid = "{each.id}"\nmodule = "{each.module}"\ntoken = "{each.token}"\n'
        for each in CLUSTERS
    )
