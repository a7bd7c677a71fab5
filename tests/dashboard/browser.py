"""A headless Chromium, driven by the protocol that it speaks itself, over one WebSocket.

A page of it tells what a test asks: what is in the document, what was requested, what was logged.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-port=0",
)
WITHIN_S = 20.0
_STARTS_WITHIN_S = 30.0


def chromium() -> str | None:
    """Where Chromium is, if it is installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Page:
    """One tab, or the whole browser. Every call waits for its answer, and notes what happens."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        #: The addresses of everything that the page asked for.
        self.requested: list[str] = []
        #: What went to the console as a warning or an error, and errors that nobody caught.
        self.complaints: list[str] = []

    def attend(self) -> None:
        """Have everything told that happens in the tab from now on."""
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """Close the tab."""
        self.call("Page.close")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(timeout=WITHIN_S))
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        told = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requested.append(told["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(told["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "warning", "assert"):
                self.complaints.append(json.dumps(told["args"]))
            case "Log.entryAdded" if told["entry"]["level"] in ("error", "warning"):
                self.complaints.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")

    def open(self, url: str) -> None:
        """Go to an address."""
        self.call("Page.navigate", url=url)

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def text(self, selector: str = "body") -> str:
        """What a person reads in the first element of a selector, empty if there is none."""
        found = self.ask(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")
        return str(found)

    def until(self, condition: Callable[[], Any], what: str, *, within_s: float = WITHIN_S) -> Any:
        """Poll until a condition holds; fail with what the page shows."""
        deadline = time.monotonic() + within_s
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {within_s} s: {what}\n{self.text()}")
        return value

    def until_reads(self, words: str, selector: str = "body", *, within_s: float = WITHIN_S) -> str:
        """Wait until a person can read some words there; capitals do not matter."""
        self.until(
            lambda: words.lower() in self.text(selector).lower(), repr(words), within_s=within_s
        )
        return self.text(selector)

    def press(self, key: str, code: int, *, text: str = "") -> None:
        """Press a key and let it go."""
        more = {"text": text} if text else {}
        name = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **name, **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", **name)

    def look(self, width: int, height: int, *, scheme: str = "dark", phone: bool = False) -> None:
        """Be so large, and prefer dark or light."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone,
        )  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def picture(self, file: Path) -> None:
        """What is seen now, as a PNG."""
        shot = self.call("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def a_browser() -> Iterator[Callable[[], Page]]:
    """A browser with a profile of its own; gives a function that opens a new tab."""
    program = chromium()
    assert program is not None
    # Its sandbox refuses to be run by root, which tests in a container are.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with (
        tempfile.TemporaryDirectory(prefix="q-browser-", ignore_cleanup_errors=True) as profile,
        _process([program, *FLAGS, *sandbox, f"--user-data-dir={profile}"]) as process,
        ExitStack() as sockets,
    ):
        port, path = _port_of(process, Path(profile))
        address = f"ws://127.0.0.1:{port}"

        def speak_to(where: str) -> Page:
            # Without pings: their thread would draw from `random` under other tests' properties.
            options: dict[str, Any] = {"max_size": None, "proxy": None, "ping_interval": None}
            return Page(sockets.enter_context(connect(address + where, **options)))

        whole = speak_to(path)

        def new_page() -> Page:
            target = whole.call("Target.createTarget", url="about:blank")["targetId"]
            page = speak_to(f"/devtools/page/{target}")
            page.attend()
            return page

        yield new_page


@contextmanager
def _process(words: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def _port_of(process: subprocess.Popen[bytes], profile: Path) -> tuple[str, str]:
    """Where the browser listens: it writes that into its profile."""
    told = profile / "DevToolsActivePort"
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while True:
        lines = told.read_text(encoding="utf-8").split() if told.exists() else []
        if len(lines) == 2:
            return lines[0], lines[1]
        assert process.poll() is None, f"Chromium ended with {process.returncode}"
        assert time.monotonic() < deadline, "Chromium does not listen"
        time.sleep(0.02)
