"""A new version with another signature comes while clients call: no request that fits is refused."""

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from proxy.wire.arrays import tensor_of
from proxy.wire.protos import predict_pb2
from tests.e2e.conftest import PATIENCE, Client, wait_until_ready
from tests.proxy_process import running_proxy

OLD = np.ones((1, 4), np.float16)
"""What `half` takes: x float16 [?,4]."""
NEW = np.ones((2, 2), np.float32)
"""What `fixed` takes: x float32 [2,2]."""
CLIENTS = 3
AFTER_THE_SWAP = 30


def request(array: np.ndarray) -> predict_pb2.PredictRequest:
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "m"
    message.inputs["x"].CopyFrom(tensor_of(array))
    return message


@dataclass
class Seen:
    """What one client met with."""

    old_served: int = 0
    new_served: int = 0
    wrongly_refused: list[str] = field(default_factory=list)
    last_refusal: str = ""


def call_through_the_swap(direct: Client, proxied: Client, old_served: threading.Event) -> Seen:
    """Call until the new version has answered often enough.

    What is right, the server itself tells: it goes from the old version to the new one and never back. So an
    old request was right if the server takes one after the proxy has answered, a new one if the server took
    one before the proxy was asked.
    """
    seen = Seen()
    deadline = time.monotonic() + 2 * PATIENCE
    while seen.new_served < AFTER_THE_SWAP and not seen.wrongly_refused and time.monotonic() < deadline:
        new_is_right = direct.predict(request(NEW)).code == "OK"
        new, old = proxied.predict(request(NEW)), proxied.predict(request(OLD))
        old_is_right = direct.predict(request(OLD)).code == "OK"
        if old_is_right:
            seen.old_served += old.code == "OK"
            seen.wrongly_refused += [old.text] if old.refused else []
            old_served.set()
        if new_is_right:
            seen.new_served += new.code == "OK"
            seen.wrongly_refused += [new.text] if new.refused else []
            seen.last_refusal = old.text if old.refused else ""
    return seen


def flood(proxied: Client, over: threading.Event) -> int:
    """Send what neither version takes, each time in another shape; how many of them were refused."""
    refused = 0
    while not over.is_set():
        wrong = np.ones((1 + refused % 7, 5 + refused % 11), np.int32)
        assert proxied.predict(request(wrong)).refused
        refused += 1
    return refused


def test_no_valid_request_is_refused_while_the_signature_changes(
    models_dir, tmp_path, start_dev_server, edge, connect
):
    base = tmp_path / "m"
    shutil.copytree(models_dir / "half" / "1", base / "1")
    server = start_dev_server("--model", f"m={base}", "--poll-seconds", "0.2")
    flags = ("--upstream", server.target, "--model", "m", "--refresh-seconds", "3600", *edge)
    with running_proxy(*flags) as proxy:
        wait_until_ready(proxy)
        old_served, over = threading.Event(), threading.Event()
        with ThreadPoolExecutor(CLIENTS + 1) as pool:
            flooding = pool.submit(flood, connect(proxy.target), over)
            load = [
                pool.submit(call_through_the_swap, connect(server.target), connect(proxy.target), old_served)
                for _ in range(CLIENTS)
            ]
            assert old_served.wait(PATIENCE)
            # Beside it first, so that the server never sees half a version.
            shutil.copytree(models_dir / "fixed" / "1", tmp_path / "2")
            (tmp_path / "2").rename(base / "2")
            clients = [each.result() for each in load]
            over.set()
            assert flooding.result() > AFTER_THE_SWAP

        for seen in clients:
            assert seen.wrongly_refused == []
            assert seen.new_served == AFTER_THE_SWAP
            # It judges by the new signature now, and says so.
            assert "version 2 accepts" in seen.last_refusal
        assert sum(seen.old_served for seen in clients) > 0
        drift = proxy.wait_for("signature_drift")
        assert drift["model"] == "m"
