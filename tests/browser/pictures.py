"""`make screenshots`: the pictures of the page in docs/pictures, small enough to live in the repository.

Law: the scene of the browser tests, looked at; nothing here is asserted.
"""

import asyncio
import struct
import zlib

import numpy as np

from tests.browser.chromium import Chromium, Tab
from tests.browser.scene import Clients, everything, scene
from tests.proxy_process import ROOT

FOLDER = ROOT / "docs" / "pictures"
ROUNDS = 240
SIZES = {"wide": (1280, 860), "phone": (390, 780)}


def small(data: bytes) -> bytes:
    """The same PNG in 256 colours: those that most pixels have, others as the nearest of them."""
    pixels = _pixels(data)
    packed = pixels[..., 0].astype(np.uint32) << 16 | pixels[..., 1].astype(np.uint32) << 8 | pixels[..., 2]
    colours, places, counts = np.unique(packed, return_inverse=True, return_counts=True)
    kept = colours[np.argsort(counts)[::-1][:256]]

    def parts(values: np.ndarray) -> np.ndarray:
        return np.stack([values >> 16 & 255, values >> 8 & 255, values & 255], axis=-1).astype(np.int32)

    distances = ((parts(colours)[:, None, :] - parts(kept)[None, :, :]) ** 2).sum(axis=-1)
    rows = distances.argmin(axis=1)[places].reshape(packed.shape).astype(np.uint8)
    height, width = rows.shape
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", parts(kept).astype(np.uint8).tobytes()),
            _chunk(b"IDAT", zlib.compress(raw, 9)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _pixels(data: bytes) -> np.ndarray:
    """What Chromium writes: eight bits, RGB or RGBA, not interlaced."""
    at, body = 8, b""
    while at < len(data):
        (length,), kind = struct.unpack_from(">I", data, at), data[at + 4 : at + 8]
        content = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colours = struct.unpack_from(">IIBB", content)
        elif kind == b"IDAT":
            body += content
        at += 12 + length
    channels = {2: 3, 6: 4}[colours]
    assert depth == 8
    lines = np.frombuffer(zlib.decompress(body), np.uint8).reshape(height, 1 + width * channels)
    out = np.zeros((height, width, channels), np.uint8)
    above = np.zeros((width, channels), np.int32)
    for row, line in enumerate(lines):
        above = _unfiltered(int(line[0]), line[1:].reshape(width, channels).astype(np.int32), above)
        out[row] = above
    return out


def _unfiltered(kind: int, line: np.ndarray, above: np.ndarray) -> np.ndarray:
    """One line as PNG's filters hide it (RFC 2083, 6)."""
    if kind == 0:
        return line
    if kind == 1:
        return np.cumsum(line, axis=0) % 256
    if kind == 2:
        return (line + above) % 256
    found = np.zeros_like(line)
    left = corner = np.zeros(line.shape[1], np.int32)
    for place, (each, up) in enumerate(zip(line, above, strict=True)):
        if kind == 3:
            guess = (left + up) // 2
        else:
            to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
            guess = np.where(
                (to_left <= to_up) & (to_left <= to_corner), left, np.where(to_up <= to_corner, up, corner)
            )
        left = found[place] = (each + guess) % 256
        corner = up
    return found


async def _follow(clients: Clients) -> None:
    for _ in range(ROUNDS):
        await everything(clients)
        # The curves are of 15 seconds each: what they show takes its time.
        await asyncio.sleep(0.5)


async def _take(tab: Tab, base: str, problem: str) -> None:
    for name, path in (("overview", "/"), ("problem", f"/problems/{problem}")):
        for size, (width, height) in SIZES.items():
            for scheme in ("light", "dark"):
                await tab.look(width, scheme, height)
                await tab.open(base + path)
                file = FOLDER / f"{name}-{size}-{scheme}.png"
                await tab.picture(file, whole=False)
                file.write_bytes(small(file.read_bytes()))
                print(f"{file.relative_to(ROOT)}: {file.stat().st_size >> 10} KiB")


async def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    async with scene() as (proxy, clients, _), Chromium() as browser, browser.tab() as tab:
        await _follow(clients)
        base = f"http://{proxy.admin}"
        await tab.open(f"{base}/")
        found = await tab.run("fetch('/api/problems?reason=RANK_MISMATCH').then((answer) => answer.json())")
        await _take(tab, base, found["problems"][0]["id"])


if __name__ == "__main__":
    asyncio.run(main())
