"""The Debian package: what is in it, and its life on a machine from the installation to the purge.

The life needs root and is really lived, on this machine: nothing of the kind may be installed. The
tests of it are steps, in the order of the file. A package made elsewhere is taken from the folder
that RUNTREE_PACKAGE_BUILD names, which is what CI and a hurried developer want.
"""

import contextlib
import grp
import json
import os
import pathlib
import pwd
import shutil
import signal
import stat
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from conftest import ROOT, free_port

UNIT = ROOT / "deploy" / "systemd" / "runtree.service"
DEFAULTS = pathlib.Path("/etc/default/runtree")
STATE = pathlib.Path("/var/lib/runtree")
WANTS = pathlib.Path("/etc/systemd/system/multi-user.target.wants/runtree.service")
LEFTOVERS = [
    ("/etc", "**/*runtree*"),
    ("/lib/systemd", "**/*runtree*"),
    ("/usr/bin", "*runtree*"),
    ("/usr/share", "*runtree*"),
    ("/usr/share/doc", "*runtree*"),
    ("/var/lib", "*runtree*"),
    ("/var/lib/dpkg/info", "runtree.*"),
    ("/var/lib/systemd", "**/*runtree*"),
]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages")


def output(*command, **options):
    result = subprocess.run(command, capture_output=True, text=True, **options)
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    build = ROOT / os.environ.get("RUNTREE_PACKAGE_BUILD", folder / "build")
    if not build.exists():
        output("cmake", "--preset", "release", "-B", build, "-DRUNTREE_DASHBOARD=OFF", cwd=ROOT)
    output("ninja", "-C", build, "-j2")
    output("cpack", "-G", "DEB", "-B", str(folder), cwd=build)
    (found,) = folder.glob("*.deb")
    return found


# -------- what is in it --------


def test_control_data(package):
    names = ["Package", "Version", "Architecture", "Depends", "Recommends"]
    control = {name: output("dpkg-deb", "--field", package, name).strip() for name in names}
    assert control["Package"] == "runtree"
    assert control["Version"] in (ROOT / "CMakeLists.txt").read_text()
    assert control["Architecture"] == output("dpkg", "--print-architecture").strip()
    assert package.name == f"runtree_{control['Version']}_{control['Architecture']}.deb"
    # Debian 13 marks with t64 what was built for 64 bits of time.
    depends = {part.split()[0].replace("t64", "") for part in control["Depends"].split(", ")}
    libraries = {"libc6", "libcurl3-gnutls", "libjansson4", "libmicrohttpd12", "libpq5"}
    libraries |= {"libprotobuf-c1", "libuv1"}
    assert {"adduser", *libraries} <= depends
    assert control["Recommends"] == "postgresql"


def test_files(package):
    modes = {}
    for line in output("dpkg-deb", "--contents", package).splitlines():
        mode, owner, _, _, _, name = line.split(maxsplit=5)
        assert owner == "root/root"
        modes[name.removeprefix(".")] = mode
    files = {name: mode for name, mode in modes.items() if not name.endswith("/")}
    assert files == {
        "/usr/bin/runtree": "-rwxr-xr-x",
        "/lib/systemd/system/runtree.service": "-rw-r--r--",
        "/etc/default/runtree": "-rw-r--r--",
        "/usr/share/runtree/after_restore.sql": "-rw-r--r--",
        "/usr/share/man/man1/runtree.1": "-rw-r--r--",
        "/usr/share/doc/runtree/README.md": "-rw-r--r--",
        "/usr/share/doc/runtree/copyright": "-rw-r--r--",
    }
    assert not [name for name, mode in modes.items() if "w" in mode[4:]]


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_scripts_are_what_a_plain_shell_reads(package, tmp_path, script):
    output("dpkg-deb", "--control", package, tmp_path / "control")
    assert (tmp_path / "control" / script).stat().st_mode & 0o777 == 0o755
    output("sh", "-n", tmp_path / "control" / script)


def test_unit_is_confined():
    """systemd's own measure, from 0 (nothing can happen) to 10."""
    if shutil.which("systemd-analyze") is None:
        unit = UNIT.read_text()
        assert "NoNewPrivileges=yes" in unit and "ProtectSystem=strict" in unit
        return
    output("systemd-analyze", "security", "--offline=yes", "--threshold=20", UNIT)


# -------- its life --------


@contextlib.contextmanager
def nothing_is_started():
    """As in a container, also where systemd runs: the test starts the service itself."""
    policy = pathlib.Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def is_installed():
    status = ["dpkg-query", "--show", "--showformat", "${db:Status-Status}", "runtree"]
    found = subprocess.run(status, capture_output=True, text=True).stdout
    return found not in ("", "not-installed")


def account_exists():
    with contextlib.suppress(KeyError):
        pwd.getpwnam("runtree")
        return True
    return False


@pytest.fixture(scope="module")
def installed(package):
    assert not is_installed(), "a runtree is installed here; this test would purge it"
    assert not account_exists() and not STATE.exists()
    with nothing_is_started():
        try:
            output("dpkg", "--install", package)
            yield package
        finally:
            if is_installed():
                output("dpkg", "--purge", "runtree")


def directives(unit):
    """The unit's directives, each with its values in order."""
    found = {}
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            found.setdefault(name, []).append(value)
    return found


def environment(unit):
    """What systemd would give the service: variables of the file go over those of the unit."""
    files = [path.removeprefix("-") for path in unit["EnvironmentFile"]]
    lines = [line for path in files for line in pathlib.Path(path).read_text().splitlines()]
    lines = unit["Environment"] + [line for line in lines if line and not line.startswith("#")]
    return {"PATH": "/usr/bin:/bin", **dict(line.split("=", 1) for line in lines)}


@contextlib.contextmanager
def service():
    """Starts the installed service as its unit says, and ends it as systemd would."""
    unit = directives(pathlib.Path("/lib/systemd/system/runtree.service"))
    account = pwd.getpwnam(*unit["User"])
    (state,) = unit["StateDirectory"]
    folder = pathlib.Path("/var/lib", state)
    folder.mkdir(mode=int(*unit["StateDirectoryMode"], 8), exist_ok=True)
    os.chown(folder, account.pw_uid, account.pw_gid)
    process = subprocess.Popen(
        unit["ExecStart"][0].split(),
        env=environment(unit),
        cwd="/",
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
        umask=int(*unit["UMask"], 8),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=30)[1]
    assert process.returncode == 0, log


def call(port, path, body=None):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body)
    if body is not None:
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.status, json.loads(response.read() or b"null")


def wait_until_ready(port):
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError, urllib.error.HTTPError):
            call(port, "/readyz")
            return
        assert time.monotonic() < deadline, "not ready"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def port():
    return free_port()


@needs_root
def test_account_of_the_service(installed):
    account = pwd.getpwnam("runtree")
    assert account.pw_dir == str(STATE)
    assert account.pw_shell.endswith("nologin")
    assert account.pw_uid < 1000
    assert grp.getgrgid(account.pw_gid).gr_name == "runtree"


@needs_root
def test_passwords_of_the_database_are_not_for_everyone(installed):
    status = DEFAULTS.stat()
    assert stat.S_IMODE(status.st_mode) == 0o640
    assert (status.st_uid, status.st_gid) == (0, grp.getgrnam("runtree").gr_gid)


@needs_root
def test_unit_is_enabled_and_systemd_takes_it(installed):
    assert WANTS.is_symlink()
    if shutil.which("systemd-analyze") is not None:
        assert output("systemd-analyze", "verify", "/lib/systemd/system/runtree.service") == ""


@needs_root
def test_service_records_an_event_in_a_database_of_its_own(installed, port):
    with DEFAULTS.open("a") as defaults:
        defaults.write(f"RUNTREE_LISTEN=127.0.0.1:{port}\n")
    run = {"project": "p", "domain": "d", "runName": "r"}
    event = {**run, "name": "a0", "parent": None, "phase": "RUNNING"}
    with service():
        wait_until_ready(port)
        status, result = call(port, "/v1/events", json.dumps(event).encode())
        assert (status, result["status"]) == (201, "applied")
    owners = {path.lstat().st_uid for path in STATE.rglob("*")}
    assert owners == {pwd.getpwnam("runtree").pw_uid}


@needs_root
def test_upgrade_keeps_the_configuration_and_the_data(installed, port):
    output("dpkg", "--install", installed)
    assert f"127.0.0.1:{port}" in DEFAULTS.read_text()
    with service():
        wait_until_ready(port)
        assert call(port, "/v1/projects/p/domains/d/runs/r/actions/a0")[1]["phase"] == "RUNNING"


@needs_root
def test_upgrade_leaves_a_disabled_service_disabled(installed):
    WANTS.unlink()  # as `systemctl disable` does
    output("dpkg", "--install", installed)
    assert not WANTS.is_symlink()


@needs_root
def test_removal_keeps_the_configuration_and_the_data(installed):
    output("dpkg", "--remove", "runtree")
    assert not pathlib.Path("/usr/bin/runtree").exists()
    assert DEFAULTS.exists() and STATE.exists() and account_exists()


@needs_root
def test_purge_leaves_nothing(installed):
    output("dpkg", "--purge", "runtree")
    assert not is_installed() and not account_exists()
    left = [
        path
        for folder, pattern in LEFTOVERS
        for path in pathlib.Path(folder).glob(pattern)
        if path.name != "runtree-dev.conf"  # of ./dev, while it installs something
    ]
    assert left == []
