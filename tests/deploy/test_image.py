"""The image and what starts it, as far as it can be tried without a Docker engine."""

import http.server
import os
import re
import shlex
import subprocess
import threading

import pytest
import yaml

from conftest import ROOT, free_port

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
HEALTH = ROOT / "deploy" / "image" / "runtree-health"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


def options(binary):
    text = subprocess.run([binary, "serve", "--help"], capture_output=True, text=True).stdout
    return set(re.findall(r"\[(RUNTREE_[A-Z_]+)\]", text))


# -------- the Dockerfile --------


def test_images_are_named_whole():
    """buildah and podman have no registry to look for a short name in."""
    names = re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)
    names += [service["image"] for service in COMPOSE["services"].values() if "build" not in service]
    assert names and all(name.startswith("docker.io/library/") for name in names)


def test_what_is_copied_is_sent_to_the_builder():
    ignored = {line.strip() for line in (ROOT / ".dockerignore").read_text().splitlines()}
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.M):
        sources = [word for word in shlex.split(line) if not word.startswith("--")][:-1]
        for source in sources:
            assert (ROOT / source).exists()
            assert not {source, source.split("/")[0]} & ignored


def test_health_check_is_a_word_of_its_own():
    """So that it can be said again where the format of the image has none."""
    (command,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", DOCKERFILE, re.M)
    assert yaml.safe_load(command) == [HEALTH.name]
    assert f"deploy/image/{HEALTH.name} /usr/local/bin/{HEALTH.name}" in DOCKERFILE
    assert COMPOSE["services"]["runtree"]["healthcheck"]["test"] == ["CMD", HEALTH.name]
    assert os.access(HEALTH, os.X_OK)


# -------- the health check --------


class Answer(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self):
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


def health(listen):
    environment = {"PATH": os.environ["PATH"], "RUNTREE_LISTEN": listen}
    return subprocess.run([HEALTH], env=environment, timeout=10, stderr=subprocess.DEVNULL).returncode


@pytest.mark.parametrize("status, code", [(200, 0), (500, 1)])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "*", "[::]", "localhost"])
def test_health(host, status, code):
    handler = type("Handler", (Answer,), {"status": status})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert health(f"{host}:{server.server_port}") == code
        server.shutdown()


def test_health_of_nothing():
    assert health(f"0.0.0.0:{free_port()}") != 0


# -------- compose --------


def test_compose_says_what_the_program_knows(binary):
    runtree = COMPOSE["services"]["runtree"]
    assert set(runtree["environment"]) <= options(binary)
    assert (ROOT / "deploy" / runtree["build"] / "Dockerfile").exists()


def test_compose_opens_nothing_to_the_network():
    runtree, database = COMPOSE["services"]["runtree"], COMPOSE["services"]["database"]
    assert runtree["ports"] == ["127.0.0.1:8080:8080"]
    assert "ports" not in database


def test_compose_waits_for_the_database():
    runtree, database = COMPOSE["services"]["runtree"], COMPOSE["services"]["database"]
    assert runtree["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert database["healthcheck"]["test"][:2] == ["CMD", "pg_isready"]
    (volume,) = database["volumes"]
    assert volume.split(":")[0] in COMPOSE["volumes"]
    assert f"user={database['environment']['POSTGRES_USER']} " in (
        runtree["environment"]["RUNTREE_DATABASE_URL"]
    )


# -------- the proxy in front --------


def test_proxy_lets_a_whole_batch_through():
    limits = (ROOT / "docs" / "architecture.md").read_text()
    (mebibytes,) = re.findall(r"^\| body, .*?\| (\d+) MiB \|", limits, re.M)
    (allowed,) = re.findall(r"client_max_body_size (\d+)m;", OPERATIONS)
    assert int(allowed) >= int(mebibytes)
