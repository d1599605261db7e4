"""Nextflow 22.10.6, the newest that Maven Central has whole, runs a pipeline, then resumes it. It
can send no token; the plugin nf-weblog, which later versions want, sends Basic."""

import shutil

import pytest

from tools import HERE, TOOLS, actions_of, run, runs_of
from client import until

OPENED = ("java.lang java.io java.nio java.net java.util java.util.concurrent.atomic"
          " java.util.concurrent.locks java.util.regex jdk.internal.misc sun.nio.ch sun.nio.fs"
          " sun.net.www.protocol.http sun.net.www.protocol.https").split()  # fmt: skip


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nextflow") / "pipeline"
    shutil.copytree(HERE / "nextflow", folder)
    return folder


def start(runtree, pipeline, *options):
    url = f"{runtree.url}/v1/adapters/nextflow/data/nextflow/"
    opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED]
    jars = str(TOOLS / "nextflow" / "jars" / "*")
    return run(
        ["java", *opened, "-cp", jars, "nextflow.cli.Launcher",
         "run", "main.nf", "-with-weblog", url, *options],
        pipeline,
        NXF_HOME=str(pipeline / "home"),
        NXF_OFFLINE="true",
        NXF_PLUGINS_DEFAULT="false",
        NXF_ANSI_LOG="false",
    )  # fmt: skip


def test_pipeline_and_its_resumption(open_runtree, api, pipeline):
    said = start(open_runtree, pipeline)
    said += start(open_runtree, pipeline, "-resume", "--break", "true", "--reads", "4")

    def both():
        runs = runs_of(api, "nextflow")
        return runs if len(runs) == 2 and all(it["endedAt"] for it in runs) else None

    try:
        resumed, first = until(both)
    except AssertionError:
        raise AssertionError(said) from None
    assert (first["phase"], resumed["phase"]) == ("SUCCEEDED", "FAILED")
    root, session = first["runName"].rsplit("-", 1)
    assert resumed["runName"].endswith(f"-{session}")
    actions = actions_of(api, first)
    assert {
        name: (action["parent"], action["phase"], action["attempt"], action["group"])
        for name, action in actions.items()
    } == {
        root: (None, "SUCCEEDED", 1, None),
        "ALIGN (s1)": (root, "SUCCEEDED", 1, "ALIGN"),
        "ALIGN (s2)": (root, "SUCCEEDED", 2, "ALIGN"),
        "ALIGN (s3)": (root, "SUCCEEDED", 1, "ALIGN"),
        "QC:PREP (1)": (root, "SUCCEEDED", 1, "QC/PREP"),
        "QC:PREP (2)": (root, "SUCCEEDED", 1, "QC/PREP"),
        "QC:PREP (3)": (root, "SUCCEEDED", 1, "QC/PREP"),
        "REPORT": (root, "FAILED", 1, "REPORT"),
    }
    assert actions["REPORT"]["errorInfo"]["message"] == "exit code 4, IGNORE"
    again = actions_of(api, resumed)
    assert again["ALIGN (s3)"]["phase"] == "FAILED"
    (end,) = (action for action in again.values() if action["parent"] is None)
    assert end["errorInfo"]["message"].startswith("for good\n\nError executing process")
