"""The Helm chart, rendered by Helm's own library, is valid Kubernetes, old and new, and refuses what cannot work."""

import re
from pathlib import Path
from typing import Any

import pytest

from built_wheel import ROOT
from strongroom import __version__
from strongroom.settings import Settings
from strongroom.settings_sources import unknown_variables
from strongroom.supervisor.supervisor import longest_stop

NEEDED = "it is large; `make test` installs it (tools/venv packaging)"
chart = pytest.importorskip("helm_python.chart", reason=NEEDED)
errors = pytest.importorskip("helm_python.errors", reason=NEEDED)
kubernetes_validate = pytest.importorskip("kubernetes_validate", reason=NEEDED)
yaml = pytest.importorskip("yaml", reason=NEEDED)

CHART = ROOT / "deploy" / "helm" / "strongroom"
OLDEST, NEWEST = "1.27", "1.37"

ONE_NODE = {
    "tls": {"existingSecret": "strongroom-tls"},
    "metrics": {"enabled": True},
    "settings": '# tls-client-ca = "not here"\nregions = ["eu-central-1"]\n',
    "service": {"annotations": {"example.com/a": "b"}},
    "persistence": {"storageClass": "fast"},
}
NODES = {
    "replicas": 3,
    "allowPlaintext": True,
    "database": {
        "address": "postgresql://strongroom_serve@db/strongroom",
        "existingSecret": "serve",
        "migrate": {"address": "postgresql://strongroom_owner@db/strongroom", "existingSecret": "owner"},
    },
    "rootKey": {"existingSecret": "root-key"},
    "sealPassphrase": {"existingSecret": "passphrase"},
    "imagePullSecrets": [{"name": "registry"}],
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/kms"}},
    "podAnnotations": {"example.com/a": "b"},
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "extraEnv": [{"name": "AWS_REGION", "value": "eu-central-1"}],
    "extraVolumes": [{"name": "database-ca", "configMap": {"name": "ca"}}],
    "extraVolumeMounts": [{"name": "database-ca", "mountPath": "/etc/database-ca"}],
}

Object = dict[str, Any]


def rendered(values: Object) -> dict[str, Object]:
    """Return the objects of a release, by kind and name."""
    with chart.Chart.load(CHART) as loaded:
        texts: dict[str, str] = loaded.render(values, name="kms", namespace="security")
    documents = [
        document
        for path, text in texts.items()
        if path.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document is not None
    ]
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in documents}


def container_of(found: dict[str, Object]) -> Object:
    (container,) = found["StatefulSet/kms-strongroom"]["spec"]["template"]["spec"]["containers"]
    single: Object = container
    return single


@pytest.mark.parametrize("values", [ONE_NODE, NODES])
def test_helm_lint_finds_nothing(values: Object) -> None:
    report = chart.lint(CHART, values, strict=True)
    # There is no icon, which is no more than a recommendation.
    assert [each["error"] for each in report["messages"]] == ["icon is recommended"]


def test_one_node_has_a_volume_and_no_budget() -> None:
    assert set(rendered(ONE_NODE)) == {
        "ConfigMap/kms-strongroom",
        "Service/kms-strongroom",
        "Service/kms-strongroom-nodes",
        "ServiceAccount/kms-strongroom",
        "StatefulSet/kms-strongroom",
    }


def test_nodes_have_a_budget_and_tables() -> None:
    found = rendered(NODES)
    assert found["PodDisruptionBudget/kms-strongroom"]["spec"]["maxUnavailable"] == 1
    assert found["Job/kms-strongroom-tables"]["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    spec = found["StatefulSet/kms-strongroom"]["spec"]
    assert spec["replicas"] == 3
    assert [each["name"] for each in spec["template"]["spec"]["initContainers"]] == ["root-key"]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("values", [ONE_NODE, NODES])
def test_every_object_is_valid(values: Object, version: str) -> None:
    for document in rendered(values).values():
        kubernetes_validate.validate(document, version, strict=True)


def test_the_values_of_the_documentation_find_the_authority_of_the_database() -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```yaml\n(replicas: .*?)^```$", page, re.MULTILINE | re.DOTALL)
    values = yaml.safe_load(text)
    found = rendered(values)
    for document in found.values():
        kubernetes_validate.validate(document, NEWEST, strict=True)
    for address in (values["database"]["address"], values["database"]["migrate"]["address"]):
        assert "sslmode=verify-full" in address
        (authority,) = re.findall(r"sslrootcert=([^&]+)", address)
        for name in ("StatefulSet/kms-strongroom", "Job/kms-strongroom-tables"):
            pod = found[name]["spec"]["template"]["spec"]
            (container,) = pod["containers"]
            mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
            volumes = {each["name"]: each for each in pod["volumes"]}
            volume = volumes[mounts[str(Path(authority).parent)]]
            made = f"kubectl create configmap {volume['configMap']['name']} --from-file={Path(authority).name}\n"
            assert made in page


@pytest.mark.parametrize("values", [ONE_NODE, NODES])
def test_every_container_is_confined(values: Object) -> None:
    for document in rendered(values).values():
        if document["kind"] not in {"StatefulSet", "Job"}:
            continue
        pod = document["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
        assert not pod["automountServiceAccountToken"]
        for container in (*pod["containers"], *pod.get("initContainers", [])):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@pytest.mark.parametrize("values", [ONE_NODE, NODES])
def test_variables_are_settings_and_their_files_are_mounted(values: Object) -> None:
    container = container_of(rendered(values))
    variables = {each["name"]: each["value"] for each in container["env"] if each["name"].startswith("STRONGROOM_")}
    assert variables
    assert unknown_variables(variables) == {}
    mounts = [each["mountPath"] for each in container["volumeMounts"]]
    files = [value for value in variables.values() if value.startswith("/")]
    assert all(file.rpartition("/")[0] in mounts for file in files)


@pytest.mark.parametrize("values", [ONE_NODE, NODES])
def test_a_container_of_the_server_has_a_temporary_folder(values: Object) -> None:
    for document in rendered(values).values():
        if document["kind"] in {"StatefulSet", "Job"}:
            pod = document["spec"]["template"]["spec"]
            assert {"name": "tmp", "emptyDir": {}} in pod["volumes"]
            assert {"name": "tmp", "mountPath": "/tmp"} in pod["containers"][0]["volumeMounts"]  # noqa: S108


def test_probes_use_the_scheme_that_is_served() -> None:
    for values, scheme in ((ONE_NODE, "HTTPS"), (NODES, "HTTP")):
        container = container_of(rendered(values))
        probes = [container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
        assert {probe["scheme"] for probe in probes} == {scheme}
        assert [probe["path"] for probe in probes] == ["/healthz", "/healthz", "/readyz"]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, "set `tls.existingSecret`"),
        ({"replicas": 3, "allowPlaintext": True}, "set `database.address`"),
        ({"allowPlaintext": True, "rootKey": {"existingSecret": "x"}}, "`rootKey.existingSecret` is for nodes"),
        ({"allowPlaintext": True, "database": {"migrate": {"address": "postgresql://x"}}}, "`database.address` is not"),
        ({"allowPlaintext": True, "database": {"address": "mysql://x"}}, "/database/address"),
        ({**ONE_NODE, "settings": 'fips = true\n tls-client-ca = "/ca"\n'}, "probes of Kubernetes have no certificate"),
        ({**ONE_NODE, "extraEnv": [{"name": "STRONGROOM_TLS_CLIENT_CA", "value": "/ca"}]}, "no pod would become ready"),
        ({"allowPlaintext": True, "replica": 3}, "'replica' not allowed"),
        ({"allowPlaintext": True, "service": {"port": 0}}, "/service/port"),
    ],
)
def test_values_that_cannot_work_are_refused(values: Object, why: str) -> None:
    with pytest.raises(errors.HelmError) as refused:
        rendered(values)
    assert why in str(refused.value)


def test_a_pod_has_more_time_to_stop_than_the_server_takes() -> None:
    pod = rendered(ONE_NODE)["StatefulSet/kms-strongroom"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > longest_stop(Settings().drain)


def test_the_chart_is_of_this_release() -> None:
    metadata = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert metadata["version"] == metadata["appVersion"] == __version__
