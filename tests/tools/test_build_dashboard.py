"""tools/build_dashboard.py: when npm has to install, and when not."""

import json
import os
import stat

import build_dashboard
import pytest

LOCK = {
    "": {"name": "page"},
    "node_modules/vite": {"version": "6.0.0"},
    "node_modules/other-machine": {"version": "1.0.0", "optional": True},
}
INSTALLED = {"node_modules/vite": {"version": "6.0.0"}}


def write_lock(path, packages):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"packages": packages}))


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def dashboard(tmp_path):
    """A dashboard whose npm and vite note that they were called, and with what."""
    folder = tmp_path / "dashboard"
    write_lock(folder / "package-lock.json", LOCK)
    write_lock(folder / "node_modules" / ".package-lock.json", INSTALLED)
    write_program(folder / "node_modules" / ".bin" / "vite", 'echo "vite $*" >> calls\n')
    write_program(tmp_path / "npm", 'echo "npm $1" >> calls\n')
    return folder


def build(dashboard):
    """What was called, in order."""
    out = os.path.relpath(dashboard.parent / "out")
    npm = str(dashboard.parent / "npm")
    status = build_dashboard.main([str(dashboard), out, "--npm", npm])
    calls = dashboard / "calls"
    lines = calls.read_text().splitlines() if calls.exists() else []
    return status, [" ".join(line.split()[:2]) for line in lines], lines


def test_installed_packages_are_used(dashboard):
    status, calls, lines = build(dashboard)
    assert (status, calls) == (0, ["vite build"])
    assert f"--outDir {dashboard.parent / 'out'} " in lines[0], "npm scripts run in another folder"


@pytest.mark.parametrize(
    "installed",
    [
        {},
        {"node_modules/vite": {"version": "5.0.0"}},
        INSTALLED | {"node_modules/gone": {"version": "1.0.0"}},
    ],
)
def test_other_packages_are_installed_first(dashboard, installed):
    write_lock(dashboard / "node_modules" / ".package-lock.json", installed)
    assert build(dashboard)[:2] == (0, ["npm ci", "vite build"])


def test_nothing_installed(dashboard):
    (dashboard / "node_modules" / ".package-lock.json").unlink()
    assert build(dashboard)[:2] == (0, ["npm ci", "vite build"])


def test_failure_says_how_to_go_without(dashboard, capfd):
    write_program(dashboard / "node_modules" / ".bin" / "vite", "exit 3\n")
    assert build(dashboard)[0] == 1
    assert "RUNTREE_DASHBOARD=OFF" in capfd.readouterr().err
