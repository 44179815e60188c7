"""The admin port on both event loops: uvloop's transports are none of asyncio's, and `serve` runs on it."""

import asyncio

import uvloop


def pytest_asyncio_loop_factories():
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
