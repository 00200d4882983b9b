"""The setting cloudhsm-clusters: who may use which cluster, and its trust anchor."""

from pathlib import Path

import pytest

from strongroom.crypto.cloudhsm.configured import ConfiguredClusters
from strongroom.errors import CloudHsmClusterNotFoundException, IncorrectTrustAnchorException
from strongroom.settings import CloudHsmCluster, SettingsError

ID, ACCOUNT = "cluster-abcdefghijk", "111122223333"
ANCHOR = "-----BEGIN CERTIFICATE-----\nMIIB\nAbcd\n-----END CERTIFICATE-----\n"


def clusters(**more: str) -> ConfiguredClusters:
    return ConfiguredClusters((CloudHsmCluster(id=ID, module="/lib/module.so", token="token", **more),))


def test_a_cluster_is_for_the_accounts_that_the_setting_names() -> None:
    clusters().require_usable(ID, ACCOUNT, "anything")
    clusters(account=ACCOUNT).require_usable(ID, ACCOUNT, "anything")
    for listed, cluster_id in ((clusters(account="444455556666"), ID), (clusters(), "cluster-lmnopqrstuv")):
        with pytest.raises(CloudHsmClusterNotFoundException):
            listed.require_usable(cluster_id, ACCOUNT, "anything")


def test_a_trust_anchor_is_compared_without_white_space(tmp_path: Path) -> None:
    file = tmp_path / "anchor.pem"
    file.write_text(ANCHOR)
    listed = clusters(trust_anchor=str(file))
    listed.load()
    for same in (ANCHOR, ANCHOR.strip(), ANCHOR.replace("\n", "\r\n")):
        listed.require_usable(ID, ACCOUNT, same)
    for other in ("", "certificate", ANCHOR.replace("Abcd", "abcd")):
        with pytest.raises(IncorrectTrustAnchorException):
            listed.require_usable(ID, ACCOUNT, other)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read"), (b"text", "is not a certificate"), (b"\xff", "is not a certificate")],
)
def test_a_trust_anchor_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "anchor.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        clusters(trust_anchor=str(file)).load()
    assert f"`{file}`, the trust-anchor of `{ID}` in cloudhsm-clusters, {said}" in str(refused.value)
