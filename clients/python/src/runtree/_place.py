"""In which run a program is: what it says itself, what `runtree exec` or a program above has left in the
environment, what Slurm and CI say there. The same rules as those of `runtree exec`."""

from __future__ import annotations

import os
import secrets
import time
import unicodedata
from typing import Dict, List, Mapping, Optional

NAME_BYTES = 512
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def unique() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(6))


def valid_name(text: str, suffix: str = "") -> str:
    """A name as the service takes it: no control characters, at most 512 bytes, of which the suffix is
    kept whole."""
    text = text.encode("utf-8", "replace").decode()
    text = "".join("_" if unicodedata.category(char) == "Cc" else char for char in text)
    room = NAME_BYTES - len(suffix.encode())
    text = text.encode()[:room].decode("utf-8", "ignore") + suffix
    return text if text not in ("", ".", "..") else "_" * max(1, len(text))


class Place:
    def __init__(
        self,
        name: str,
        run: Optional[str],
        project: Optional[str],
        domain: Optional[str],
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """`run` None: the run that the environment says, else one of its own."""
        get = environment.get
        self.project = valid_name(
            project or get("RUNTREE_PROJECT") or get("GITHUB_REPOSITORY") or "default"
        )
        self.domain = valid_name(domain or get("RUNTREE_DOMAIN") or "development")
        self.links: List[Dict[str, str]] = []
        self.title: Optional[str] = None  # the run's
        outer = get("RUNTREE_RUN")
        found = run or outer or self._scheduler_run(environment)
        self.is_new = not found
        if self.is_new:
            self.title = name
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.run = valid_name(found) if found else valid_name(name, f"-{moment}-{unique()}")
        is_outer = (
            outer == self.run
            and get("RUNTREE_PROJECT", self.project) == self.project
            and get("RUNTREE_DOMAIN", self.domain) == self.domain
        )
        self.parent = (get("RUNTREE_PARENT") or None) if is_outer else None
        self.suffix = self._index(environment)
        self.attempt = self._attempt(environment)
        self.group: Optional[str] = None
        if self.parent is None:
            self.group = get("SLURM_JOB_NAME") or get("GITHUB_JOB") or get("CI_JOB_STAGE") or None

    def _scheduler_run(self, environment: Mapping[str, str]) -> Optional[str]:
        get = environment.get
        job = get("SLURM_ARRAY_JOB_ID") or get("SLURM_JOB_ID")
        if job:
            self.title = get("SLURM_JOB_NAME") or None
            return f"slurm-{job}"
        if get("GITHUB_RUN_ID"):
            server = get("GITHUB_SERVER_URL", "https://github.com")
            run = get("GITHUB_RUN_ID")
            url = f"{server}/{get('GITHUB_REPOSITORY', '')}/actions/runs/{run}"
            self.links.append({"name": "GitHub", "url": url})
            self.title = get("GITHUB_WORKFLOW") or None
            return run
        if get("CI_PIPELINE_ID"):
            if get("CI_PIPELINE_URL"):
                self.links.append({"name": "GitLab", "url": environment["CI_PIPELINE_URL"]})
            return f"gitlab-{get('CI_PIPELINE_ID')}"
        return None

    @staticmethod
    def _index(environment: Mapping[str, str]) -> str:
        """What the tasks of an array, and the processes of one step, do not share."""
        get = environment.get
        index = f".{get('SLURM_ARRAY_TASK_ID')}" if get("SLURM_ARRAY_TASK_ID") else ""
        tasks = get("SLURM_STEP_NUM_TASKS", "")
        if get("SLURM_STEP_ID") and tasks.isdigit() and int(tasks) > 1 and get("SLURM_PROCID"):
            index += f".{get('SLURM_PROCID')}"
        return index

    @staticmethod
    def _attempt(environment: Mapping[str, str]) -> int:
        for variable, before in (("SLURM_RESTART_COUNT", 1), ("GITHUB_RUN_ATTEMPT", 0)):
            text = environment.get(variable, "")
            if text.isdigit():
                return max(1, int(text) + before)
        return 1
