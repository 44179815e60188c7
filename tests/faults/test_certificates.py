"""Certificates expire while the proxy runs, by a clock of its own: what stands goes on, what is new is told why."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from tests.certificates import Authority, key_of
from tests.edge.conftest import PREDICT, ask
from tests.fake_serving import FakeServing
from tests.faults.ground import marked
from tests.faults.machine import Clock
from tests.odd_servers import server_credentials
from tests.proxy_process import EDGES, ProxyProcess
from tests.test_app import get

BEYOND = 20 * 86_400
"""Seconds after which what was signed for nine days holds no more."""
OWN = (("grpc.use_local_subchannel_pool", 1), ("grpc.ssl_target_name_override", "localhost"))
