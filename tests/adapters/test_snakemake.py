"""Snakemake 9 with its plugin, which sends times without a zone and no token, and Snakemake 7 with
--wms-monitor run a pipeline in which a job needs a second try."""

import datetime
import shutil

import pytest

from tools import HERE, actions_of, ended_run, program, run


def start(tool, folder, options, **environment):
    shutil.copytree(HERE / "snakemake", folder)
    return run(
        [program(tool, "snakemake"), "--cores", "2", "--snakefile", "Snakefile", *options],
        folder,
        TZ="America/New_York",
        PATH=str(HERE.parents[1] / "build" / "tools" / tool / "bin") + ":/usr/bin:/bin",
        **environment,
    )


def options_for(tool, url, token):
    if tool == "snakemake-7":
        return ["--wms-monitor", url], {"WMS_MONITOR_TOKEN": token}
    return ["--logger", "panoptes", "--logger-panoptes-address", url], {}


@pytest.mark.parametrize("broken", ["", "1"], ids=["succeeds", "fails"])
@pytest.mark.parametrize("tool", ["snakemake", "snakemake-7"])
def test_pipeline(runtree, open_runtree, api, token, tmp_path, tool, broken):
    server = runtree if tool == "snakemake-7" else open_runtree
    domain = f"{tool}{broken}"
    url = f"{server.url}/v1/adapters/snakemake/data/{domain}"
    options, environment = options_for(tool, url, token)
    said = start(tool, tmp_path / "shop", options, BREAK=broken, **environment)
    done = ended_run(api, domain)
    assert done["phase"] == ("FAILED" if broken else "SUCCEEDED"), said
    ended = datetime.datetime.fromisoformat(done["endedAt"])
    assert abs(datetime.datetime.now(datetime.UTC) - ended) < datetime.timedelta(minutes=5)
    jobs = {
        (action["group"], action["title"], action["phase"])
        for action in actions_of(api, done).values()
        if action["parent"] == "workflow"
    }
    assert jobs == {
        ("prep", "prep s=s1", "SUCCEEDED"),
        ("prep", "prep s=s2", "SUCCEEDED"),
        ("align", "align s=s1", "SUCCEEDED"),
        ("align", "align s=s2", "SUCCEEDED"),
        ("report", "report", "FAILED" if broken else "SUCCEEDED"),
    } | (set() if broken else {("all", "all", "SUCCEEDED")})
