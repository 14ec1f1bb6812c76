"""A certified OpenID Connect provider in a process of its own, and logging in there as a browser does.

Installed by ``make test-oidc`` and ``make test-cluster`` into ``.cache/login-provider``: it needs Node and the npm registry.
"""

import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from urllib.parse import urljoin

import httpx
import orjson

from controller_support import wait_until

FOLDER = Path(__file__).parents[2] / ".cache" / "login-provider"
SCRIPT = Path(__file__).parents[1] / "oidc" / "provider.mjs"
PEOPLE = {"ann@example.org": ["growth"], "bob@example.org": []}


def installed() -> bool:
    return shutil.which("node") is not None and (FOLDER / "node_modules").is_dir()


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as found:
        found.bind((host, 0))
        port: int = found.getsockname()[1]
        return port


class RunningProvider:
    """Listens on loopback without TLS, or with a certificate and its key on ``host``."""

    def __init__(
        self, port: int, redirect: str, *, host: str = "127.0.0.1", certificate: tuple[Path, Path] | None = None
    ) -> None:
        self.issuer = f"{'https' if certificate else 'http'}://{host}:{port}"
        self.verify: ssl.SSLContext | bool = True
        files: list[str] = []
        if certificate is not None:
            self.verify = ssl.create_default_context(cafile=str(certificate[0]))
            files = [str(file) for file in certificate]
        self._command = ["node", "provider.mjs", host, str(port), redirect, orjson.dumps(PEOPLE).decode(), *files]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "RunningProvider":
        shutil.copy(SCRIPT, FOLDER / "provider.mjs")
        self._process = subprocess.Popen(
            self._command, cwd=FOLDER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self._answers)
        return self

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.issuer}/jwks", verify=self.verify, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def token(self, audience: str = "urn:headrace") -> str:
        """A machine's access token."""
        form = {"grant_type": "client_credentials", "scope": "call", "resource": audience}
        answer = httpx.post(
            f"{self.issuer}/token", data=form, auth=("robot", "robot-secret"), verify=self.verify, trust_env=False
        )
        found: str = answer.json()["access_token"]
        return found


def log_in(browser: httpx.Client, platform: str, who: str, after: str = "/models/adder") -> httpx.Response:
    """As a person does at a platform's URL: to the provider, name and password, consent, back."""
    answer = browser.get(f"{platform}/login/provider", params={"next": after})
    answer = _follow(browser, answer, platform)
    for _ in range(4):
        if answer.is_redirect:
            break
        action = re.search(r'action="([^"]+)"', answer.text)
        prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
        assert action is not None, answer.text
        assert prompt is not None, answer.text
        form = {"prompt": prompt[1], "login": who, "password": "any"}
        answer = _follow(browser, browser.post(urljoin(str(answer.url), action[1]), data=form), platform)
    return browser.get(answer.headers["location"])


def _follow(browser: httpx.Client, answer: httpx.Response, until_host: str) -> httpx.Response:
    while answer.is_redirect and not answer.headers["location"].startswith(until_host):
        answer = browser.get(urljoin(str(answer.url), answer.headers["location"]))
    return answer
