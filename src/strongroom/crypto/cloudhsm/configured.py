"""The clusters that the operator lists in the setting ``cloudhsm-clusters``, and their trust anchors."""

from collections.abc import Sequence
from pathlib import Path

from strongroom.errors import CloudHsmClusterNotFoundException, IncorrectTrustAnchorException
from strongroom.settings import CloudHsmCluster, SettingsError
from strongroom.whole_files import read_regular


class ConfiguredClusters:
    """The clusters by their ids. Trust anchors are read when they are first needed. Safe for several threads."""

    def __init__(self, clusters: Sequence[CloudHsmCluster]) -> None:
        self._clusters = {each.id: each for each in clusters}
        self._anchors: dict[str, str] = {}

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all clusters."""
        return frozenset(self._clusters)

    def load(self) -> None:
        """Read all trust anchors; raises SettingsError."""
        for each in self._clusters.values():
            self._anchor(each)

    def find(self, cluster_id: str | None, account: str) -> CloudHsmCluster | None:
        """Return a cluster, or None if it is not listed, or is listed for another account."""
        found = self._clusters.get(cluster_id or "")
        return None if found is None or found.account not in {None, account} else found

    def require_usable(self, cluster_id: str, account: str, trust_anchor: str) -> None:
        """See ``Clusters``. Certificates are compared as text, without white space. Raises SettingsError too."""
        cluster = self.find(cluster_id, account)
        if cluster is None:
            raise CloudHsmClusterNotFoundException(None)
        if self._anchor(cluster) not in {"", _compact(trust_anchor)}:
            raise IncorrectTrustAnchorException(None)

    def _anchor(self, cluster: CloudHsmCluster) -> str:
        """Return the trust anchor of a cluster, empty if it has none; raises SettingsError."""
        if cluster.trust_anchor is None:
            return ""
        if cluster.id not in self._anchors:
            named = f"`{cluster.trust_anchor}`, the trust-anchor of `{cluster.id}` in cloudhsm-clusters,"
            try:
                text = read_regular(Path(cluster.trust_anchor)).decode()
            except UnicodeDecodeError:
                raise SettingsError(f"{named} is not a certificate (PEM)") from None
            except OSError as error:
                raise SettingsError(f"{named} cannot be read: {error.strerror or error}") from None
            if "-----BEGIN CERTIFICATE-----" not in text:
                raise SettingsError(f"{named} is not a certificate (PEM)")
            self._anchors[cluster.id] = _compact(text)
        return self._anchors[cluster.id]


def _compact(certificate: str) -> str:
    return "".join(certificate.split())
