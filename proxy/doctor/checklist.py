"""The whole checklist in its order, and what is left out when a step before it has failed."""

import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio

from proxy.core.explain import listing
from proxy.core.types import ModelKey
from proxy.doctor.files import check_config, check_saved_model, names_in
from proxy.doctor.line import Line, Mark, note
from proxy.doctor.models import check_model
from proxy.doctor.server import (
    check_forward_proxy,
    check_grpc,
    check_message_size,
    check_services,
    keepalive,
    models_seen,
)
from proxy.doctor.way import Way
from proxy.upstream.channel import Tls, open_channel
from proxy.upstream.endpoints import endpoints
from proxy.upstream.forward_proxy import forward_proxy


@dataclass(frozen=True, slots=True)
class Checklist:
    """What to look at. `target` as `parse_target` takes it; `probe` sends requests instead of only asking.

    `root` is the directory here that is / for the server.
    """

    target: str
    tls: Tls | None = None
    models: tuple[str, ...] = ()
    version: int | None = None
    config: Path | None = None
    path: Path | None = None
    root: Path = Path("/")
    probe: bool = False
    obeys_proxy: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    async def walk(self) -> AsyncIterator[Line]:
        """Every line, each as soon as it is known. Raises ValueError for unusable TLS files."""
        way = Way(self.target, self.tls)
        async for line in way.check():
            yield line
        proxy = forward_proxy(endpoints(self.target)[0], self.environ)
        host = endpoints(self.target)[0].host
        async with self._channel(through_proxy=self.obeys_proxy) as channel:
            answers = False
            if way.clear:
                line = await check_grpc(channel)
                answers = line.mark is Mark.OK
                yield line
            if proxy is not None and answers and proxy.applies:
                async with self._channel(through_proxy=True) as through:
                    yield await check_forward_proxy(proxy, through, host)
            elif proxy is not None:
                yield await check_forward_proxy(proxy, None, host)
            if answers:
                async for line in self._ask(channel):
                    yield line
        for line in self._read():
            yield line

    def _channel(self, *, through_proxy: bool) -> grpc.aio.Channel:
        return open_channel(self.target, self.tls, http_proxy=through_proxy)

    async def _ask(self, channel: grpc.aio.Channel) -> AsyncIterator[Line]:
        async for line in check_services(channel):
            yield line
        yield keepalive()
        if self.probe:
            yield await check_message_size(channel)
        listed = names_in(self.config) if self.config is not None else ()
        names = tuple(dict.fromkeys((*self.models, *listed)))
        seen = await models_seen(channel)
        if not names:
            there = f"seen here: {listing(seen)}" if seen else "TensorFlow Serving cannot list its models"
            yield note("models", f"none was named; {there}", "Add --model NAME or --config models.config.")
        for name in names:
            key = ModelKey(name, self.version)
            async for line in check_model(channel, key, (*seen, *listed), probe=self.probe):
                yield line

    def _read(self) -> list[Line]:
        lines: list[Line] = []
        if self.config is not None:
            lines += check_config(self.config, self.root)
        if self.path is not None:
            lines += check_saved_model(self.path)
        return lines
