"""The service over HTTP."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Dict, Optional, Tuple

DEFAULT_URL = "http://127.0.0.1:8080"


class Unreachable(Exception):
    """Nothing came back: no connection, cut off, or not in time."""


class Answer:
    def __init__(self, status: int, headers: Any, content: bytes) -> None:
        self.status = status
        self.headers = headers
        self.content = content

    def json(self) -> Any:
        """None if it is no JSON."""
        try:
            return json.loads(self.content)
        except ValueError:
            return None

    def retry_after(self) -> float:
        try:
            return float(self.headers.get("Retry-After", "0"))
        except ValueError:
            return 0.0


class Service:
    """Where it is, and the token that it is shown: given, from a file (read each time), or from
    $RUNTREE_TOKEN."""

    def __init__(
        self,
        url: Optional[str] = None,
        token: Optional[str] = None,
        token_file: Optional[str] = None,
    ) -> None:
        self.url = (url or os.environ.get("RUNTREE_URL") or DEFAULT_URL).rstrip("/")
        token_file = token_file or os.environ.get("RUNTREE_TOKEN_FILE")
        self.token_file = os.path.abspath(token_file) if token_file else None
        self._token = token

    def token(self) -> Optional[str]:
        if self._token:
            return self._token
        if self.token_file:
            try:
                with open(self.token_file, encoding="utf-8") as file:
                    return file.read().strip()
            except (OSError, ValueError):
                return None
        return os.environ.get("RUNTREE_TOKEN") or None

    def open(
        self,
        method: str,
        path: str,
        document: Any = None,
        headers: Optional[Dict[str, str]] = None,
        timeout: float = 10.0,
    ) -> Any:
        """The open response, whatever its status. Raises Unreachable."""
        headers = dict(headers or {})
        token = self.token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        body = None
        if document is not None:
            body = json.dumps(document, separators=(",", ":")).encode()
            headers["Content-Type"] = "application/json"
        try:
            request = urllib.request.Request(
                self.url + path, data=body, headers=headers, method=method
            )
            return urllib.request.urlopen(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            return error
        except Exception as error:  # OSError, HTTPException, and ValueError of a URL that is none
            raise Unreachable(f"{self.url}: {error}") from error

    def request(
        self, method: str, path: str, document: Any = None, timeout: float = 10.0
    ) -> Answer:
        try:
            with self.open(method, path, document, timeout=timeout) as response:
                return Answer(response.status, response.headers, response.read())
        except Unreachable:
            raise
        except Exception as error:
            raise Unreachable(f"{self.url}: {error}") from error


def run_path(project: str, domain: str, run: str) -> str:
    parts = tuple(urllib.parse.quote(part, safe="") for part in (project, domain, run))
    return "/v1/projects/{}/domains/{}/runs/{}".format(*parts)


def action_path(key: Tuple[str, str, str, str]) -> str:
    project, domain, run, name = key
    return run_path(project, domain, run) + "/actions/" + urllib.parse.quote(name, safe="")
