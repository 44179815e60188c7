"""Debian's Chromium, driven by its own protocol (CDP) over aiohttp's websocket: as little of a driver as the tests need.

Law: waits for what the browser says, and for conditions in the page that the browser itself watches; never for time.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import aiohttp

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--hide-scrollbars"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--disable-default-apps", "--disable-dev-shm-usage", "--mute-audio"),
    "--force-color-profile=srgb",
)
PATIENCE = 20.0


def found() -> str | None:
    """Where Chromium is."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class ScriptError(AssertionError):
    """What the page threw."""


class Chromium:
    """One browser with a profile of its own; `async with` starts and ends it."""

    async def __aenter__(self) -> Self:
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        program = found()
        assert program is not None
        self._process = await asyncio.create_subprocess_exec(
            *(program, *FLAGS, f"--user-data-dir={self._profile}", "about:blank"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        address = await self._address()
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(address, max_msg_size=0)
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._tabs: dict[str, Tab] = {}
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._socket.close()
        await self._session.close()
        # Its own session: what it has started of itself ends with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._drain.cancel()
        await asyncio.gather(self._drain, return_exceptions=True)
        await self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    async def _address(self) -> str:
        stderr = self._process.stderr
        assert stderr is not None
        async with asyncio.timeout(PATIENCE):
            while line := (await stderr.readline()).decode():
                _, mark, address = line.partition("DevTools listening on ")
                if mark:
                    self._drain = asyncio.create_task(stderr.read())
                    return address.strip()
        raise AssertionError("Chromium ended before it listened")

    async def _read(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                answer = self._answers.pop(told["id"])
                if not answer.done():
                    answer.set_result(told)
            elif (tab := self._tabs.get(told.get("sessionId", ""))) is not None:
                tab.heard(told["method"], told["params"])

    async def send(self, method: str, session: str = "", **params: Any) -> Any:
        """Ask the browser, or one of its tabs; what it answers."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": params} | (
            {"sessionId": session} if session else {}
        )
        await self._socket.send_json(message)
        async with asyncio.timeout(PATIENCE):
            told = await answer
        assert "error" not in told, (method, told["error"])
        return told["result"]

    @contextlib.asynccontextmanager
    async def tab(self, *, scripts: bool = True) -> AsyncIterator["Tab"]:
        """A new tab in a context of its own, as in a private window."""
        context = (await self.send("Target.createBrowserContext"))["browserContextId"]
        target = (await self.send("Target.createTarget", url="about:blank", browserContextId=context))[
            "targetId"
        ]
        attached = await self.send("Target.attachToTarget", targetId=target, flatten=True)
        tab = self._tabs[attached["sessionId"]] = Tab(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            await tab.send(f"{domain}.enable")
        if not scripts:
            await tab.send("Emulation.setScriptExecutionDisabled", value=True)
        try:
            yield tab
        finally:
            del self._tabs[tab.session]
            await self.send("Target.disposeBrowserContext", browserContextId=context)


class Tab:
    """One page. `complaints` are errors of scripts, violations of the policy and what could not be loaded."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser = browser
        self.session = session
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self._waiting: list[tuple[str, asyncio.Future[Any]]] = []

    async def send(self, method: str, **params: Any) -> Any:
        return await self._browser.send(method, self.session, **params)

    def heard(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and params["type"] in {"error", "warning"}:
            self.complaints.append(str(params["args"]))
        elif method == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])
        for wanted, waiting in self._waiting:
            if wanted == method and not waiting.done():
                waiting.set_result(params)

    @contextlib.asynccontextmanager
    async def expecting(self, method: str) -> AsyncIterator[None]:
        """What is done inside makes the browser say this."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append((method, waiting))
        try:
            yield
            async with asyncio.timeout(PATIENCE):
                await waiting
        finally:
            self._waiting.remove((method, waiting))

    async def open(self, address: str) -> None:
        """Go there, and wait until it is loaded."""
        async with self.expecting("Page.loadEventFired"):
            told = await self.send("Page.navigate", url=address)
            assert "errorText" not in told, told

    async def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is awaited."""
        told = await self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in told:
            raise ScriptError(told["exceptionDetails"])
        return told["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait until an expression holds; the page looks at each of its frames."""
        holds = await self.run(
            f"""new Promise((resolve) => {{
                  const end = Date.now() + {PATIENCE * 750};
                  const look = () => (({condition})) ? resolve(true)
                      : Date.now() > end ? resolve(false) : setTimeout(look, 20);
                  look();
                }})"""
        )
        assert holds, f"not within {PATIENCE * 0.75:.0f} s: {condition}"

    async def click(self, selector: str) -> None:
        """Click with the mouse in the middle of an element."""
        place = await self.run(
            f"""(() => {{ const each = document.querySelector({json.dumps(selector)});
                 each.scrollIntoView({{block: "center"}});
                 const box = each.getBoundingClientRect();
                 return [box.x + box.width / 2, box.y + box.height / 2] }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.send(
                "Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1
            )

    async def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key: its name, its number, and what it writes."""
        more = {"text": text} if text else {}
        await self.send(
            "Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **more
        )
        await self.send("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    async def look(self, width: int, scheme: str, height: int = 900) -> None:
        """Be so wide, and light or dark."""
        await self.send(
            *("Emulation.setDeviceMetricsOverride",),
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        await self.send(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": "prefers-color-scheme", "value": scheme},
                {"name": "prefers-reduced-motion", "value": "reduce"},
            ],
        )

    async def picture(self, path: Path, *, whole: bool = True) -> None:
        """Write what is seen as PNG; `whole`: with what one would have to scroll to."""
        more: dict[str, Any] = {}
        if whole:
            size = (await self.send("Page.getLayoutMetrics"))["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            more = {"captureBeyondViewport": True, "clip": clip}
        told = await self.send("Page.captureScreenshot", format="png", **more)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(told["data"]))
