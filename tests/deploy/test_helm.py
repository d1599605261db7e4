"""The Helm chart: what it renders is what Kubernetes takes and what an operator relies on."""

import json
import pathlib
import re
import subprocess

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "runtree"
CUSTOM = {"HTTPRoute", "ServiceMonitor", "PrometheusRule"}  # no schema comes with Kubernetes
EVERYTHING = {
    "ingress": {"enabled": True},
    "gateway": {"enabled": True, "parentRefs": [{"name": "public"}], "hostnames": ["a.example"]},
    "autoscaling": {"enabled": True},
    "serviceMonitor": {"enabled": True, "tokenSecret": {"name": "metrics", "key": "token"}},
    "prometheusRule": {"enabled": True},
    "config": {"THREADS": "2"},
    "networkPolicy": {"from": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}]},
}
VALUES = [
    {},
    EVERYTHING,
    {"auth": {"enabled": False}},
    {"auth": {"secretKey": "secret"}},
    {"autoscaling": {"enabled": True}},
    {"database": {"cellsKey": "cells"}},
    {"database": {"cellsKey": "cells"}, "auth": {"enabled": False}},
]


def render(values):
    with helm.Chart.load(str(CHART)) as chart:
        texts = chart.render(values, name="demo", namespace="prod")
    return [
        document
        for name, text in texts.items()
        if not name.endswith(".txt")
        for document in yaml.safe_load_all(text)
        if document
    ]


def one(documents, kind):
    (found,) = [document for document in documents if document["kind"] == kind]
    return found


def container(documents):
    (found,) = one(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    return found


def test_lint():
    report = helm.lint(str(CHART))
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


@pytest.mark.parametrize("values", VALUES)
def test_manifests_are_what_kubernetes_takes(values):
    documents = render(values)
    assert len(documents) >= 5
    for document in documents:
        assert document["metadata"]["name"] == "demo-runtree"
        if document["kind"] not in CUSTOM:
            kubernetes_validate.validate(document, "1.29", strict=True)


@pytest.mark.parametrize("values", VALUES)
def test_pod_needs_no_privilege(values):
    pod = one(render(values), "Deployment")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    context = pod["containers"][0]["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"]["drop"] == ["ALL"]


@pytest.mark.parametrize("values", VALUES)
def test_variables_are_options_of_the_program(values, binary):
    known = set(
        re.findall(
            r"\[(RUNTREE_[A-Z_]+)\]",
            subprocess.run([binary, "serve", "--help"], capture_output=True, text=True).stdout,
        )
    )
    used = {variable["name"] for variable in container(render(values))["env"]}
    assert used and used <= known, used - known


def test_pod_ends_within_its_grace_period():
    documents = render({})
    variables = {each["name"]: each.get("value") for each in container(documents)["env"]}
    ending_ms = int(variables["RUNTREE_DRAIN_MS"]) + int(variables["RUNTREE_GOODBYE_MS"])
    grace = one(documents, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert ending_ms + 10_000 < grace * 1000


@pytest.mark.parametrize(
    "auth, variables",
    [
        ({}, {"RUNTREE_AUTH_KEYS": "/etc/runtree/auth/keys.json"}),
        (
            {"key": "", "secretKey": "hmac"},
            {"RUNTREE_AUTH_SECRET_FILE": "/etc/runtree/auth/hmac"},
        ),
        (
            {"key": "", "webhookKey": "hooks"},
            {"RUNTREE_WEBHOOK_SECRETS_FILE": "/etc/runtree/auth/hooks"},
        ),
    ],
)
def test_keys_and_secret_are_told_apart(auth, variables):
    env = {each["name"]: each.get("value") for each in container(render({"auth": auth}))["env"]}
    files = ("RUNTREE_AUTH_KEYS", "RUNTREE_AUTH_SECRET_FILE", "RUNTREE_WEBHOOK_SECRETS_FILE")
    assert {name: env[name] for name in files if name in env} == variables


def test_a_list_of_cells_takes_the_place_of_the_url():
    documents = render({"database": {"cellsKey": "cells"}})
    env = {each["name"]: each.get("value") for each in container(documents)["env"]}
    assert "RUNTREE_DATABASE_URL" not in env
    folder, _, key = env["RUNTREE_CELLS"].rpartition("/")
    mounts = {each["mountPath"]: each["name"] for each in container(documents)["volumeMounts"]}
    volumes = one(documents, "Deployment")["spec"]["template"]["spec"]["volumes"]
    secrets = {volume["name"]: volume["secret"]["secretName"] for volume in volumes}
    assert key == "cells" and secrets[mounts[folder]] == "runtree-database"


def test_streams_pass_the_ingress():
    documents = render(EVERYTHING)
    annotations = one(documents, "Ingress")["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"
    assert int(annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > 15
    (rule,) = one(documents, "HTTPRoute")["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}


def test_secrets_are_only_referred_to():
    text = json.dumps(render({"database": {"existingSecret": "elsewhere", "key": "url"}}))
    assert "elsewhere" in text and '"kind": "Secret"' not in text


@pytest.mark.parametrize(
    "values",
    [
        {"replicaCount": 0},
        {"replicaCount": "two"},
        {"database": {"existingSecret": ""}},
        {"termination": {"drainSeconds": -1}},
        {"config": {"lower-case": "1"}},
        {"image": {"pullPolicy": "Sometimes"}},
    ],
)
def test_nonsense_is_refused(values):
    with helm.Chart.load(str(CHART)) as chart, pytest.raises(Exception):
        chart.validate_schema(values)
        chart.render(values, name="demo", namespace="prod")


def alert_rules():
    groups = yaml.safe_load((CHART / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_rules_of_the_chart_are_the_file(tmp_path):
    groups = one(render(EVERYTHING), "PrometheusRule")["spec"]["groups"]
    assert [rule for group in groups for rule in group["rules"]] == alert_rules()


def test_every_alert_has_its_entry_in_the_runbook():
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.M)
    assert headings == [rule["alert"] for rule in alert_rules()]
    for rule in alert_rules():
        assert rule["annotations"]["runbook_url"].endswith("#" + rule["alert"].lower())


def test_every_metric_that_is_asked_for_exists(metrics):
    asked = "\n".join(rule["expr"] for rule in alert_rules())
    asked += (ROOT / "deploy" / "grafana" / "runtree.json").read_text()
    names = set(re.findall(r"\bruntree_[a-z_]+", asked)) - {"runtree_"}
    assert len(names) > 20
    for name in names:
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        assert name in metrics or base in metrics, name


OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


def test_every_metric_is_explained(metrics):
    """Whoever adds one, or a line of the log, says in docs/operations.md what it is good for."""
    assert set(re.findall(r"`(runtree_[a-z_]+)`", OPERATIONS)) == metrics


def test_every_line_of_the_log_is_explained():
    said = set()
    for source in [*ROOT.glob("server/*.c"), *ROOT.glob("watch/*.c"), *ROOT.glob("handlers/*.c")]:
        said |= set(re.findall(r'log_write\([^"]*LOG_[A-Z]+,\s*"([^"]+)"', source.read_text()))
    assert len(said) > 20
    assert [line for line in said if f"`{line}`" not in OPERATIONS] == []
