"""What a refusal costs beside the server's own error: `python -m tests.bench.refusals [--edge grpcio]`.

Medians of single calls, in milliseconds, of the same requests through two proxies before one dev server: one refuses
them, one only relays them (`--mode off`), so that the server answers with its own error. The two take turns, round
for round. A refusal should take no more than twice as long.
"""

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from tests.bench.installation import CACHE
from tests.bench.processes import free_port, running
from tests.conftest import dev_server_factory
from tests.judging import predict, tensor
from tests.proxy_process import EDGES

PREDICT = "/tensorflow.serving.PredictionService/Predict"
AIM = 2.0

Requests = Callable[[], Iterator[bytes]]


CONFIG = """
model_config_list {
  config { name: "text" base_path: "%s" model_platform: "tensorflow" version_labels { key: "stable" value: 1 } }
}
"""


def mistake(rows: int, columns: int, model: str = "text", label: str = "") -> bytes:
    """Floats where the model takes int64 [?,4]: the server refuses any shape of them before it runs the model."""
    text = tensor("string", (rows,), string_val=[b"good"] * rows)
    request = predict(model, text=text, ids=tensor("float32", (rows, columns)))
    if label:
        request.model_spec.version_label = label
    return request.SerializeToString()


def the_same() -> Iterator[bytes]:
    return itertools.repeat(mistake(1, 4))


def of_varying_shape() -> Iterator[bytes]:
    return itertools.cycle([mistake(rows, columns) for columns in range(5, 105) for rows in range(1, 6)])


def by_label() -> Iterator[bytes]:
    return itertools.repeat(mistake(1, 4, label="stable"))


def of_no_model() -> Iterator[bytes]:
    return itertools.repeat(mistake(1, 4, model="tekst"))


CASES: dict[str, tuple[int, Requests]] = {
    "the same, one caller": (1, the_same),
    "the same, 8 callers": (8, the_same),
    "varying shapes, one caller": (1, of_varying_shape),
    "varying shapes, 8 callers": (8, of_varying_shape),
    "by a label, 8 callers": (8, by_label),
    "of no model, 8 callers": (8, of_no_model),
}


def call_for(seconds: float, channel: grpc.Channel, messages: Iterator[bytes]) -> list[float]:
    """How long each call took that was made in that time; all of them must fail for what they ask."""
    call = channel.unary_unary(PREDICT)
    took = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        try:
            call(next(messages), timeout=10)
        except grpc.RpcError as error:
            if error.code() not in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND):
                raise
            took.append(time.perf_counter() - began)
        else:
            raise AssertionError("a wrong request was answered")
    return took


def median_ms(targets: dict[str, str], callers: int, requests: Requests, rounds: int) -> dict[str, float]:
    """The median of all calls, by proxy."""
    took: dict[str, list[float]] = {name: [] for name in targets}
    options = [("grpc.use_local_subchannel_pool", 1)]
    with ThreadPoolExecutor(callers) as pool:
        channels = {
            name: [grpc.insecure_channel(target, options) for _ in range(callers)]
            for name, target in targets.items()
        }
        messages = [itertools.islice(requests(), at, None) for at in range(callers)]
        for name in itertools.islice(itertools.cycle(targets), 2 * rounds):
            for each in pool.map(
                lambda pair: call_for(0.5, *pair), zip(channels[name], messages, strict=True)
            ):
                took[name] += each
        for channel in itertools.chain(*channels.values()):
            channel.close()
    return {name: statistics.median(each) * 1000 for name, each in took.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--edge", default="native", choices=EDGES)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    models = CACHE / "models"
    subprocess.run([sys.executable, "-m", "proxy.devserver.demo_models", models], check=True)
    with tempfile.TemporaryDirectory() as folder, dev_server_factory(Path(folder)) as start:
        config = Path(folder) / "models.config"
        config.write_text(CONFIG % (models / "text"))
        server = start("--model-config-file", str(config))
        ports = [free_port(), free_port()]
        commands = [
            [
                *(sys.executable, "-m", "proxy", "serve", "--upstream", server.target, "--model", "text"),
                *("--listen", f"127.0.0.1:{port}", "--admin-listen", "127.0.0.1:0"),
                *(*EDGES[options.edge], "--mode", mode),
            ]
            for port, mode in zip(ports, ("enforce", "off"), strict=True)
        ]
        with running(commands, ports, None, Path(folder) / "log"):
            targets = {"refusal": f"127.0.0.1:{ports[0]}", "server's error": f"127.0.0.1:{ports[1]}"}
            print(f"{'median, ms':28} {'refusal':>9} {'server':>9} {'ratio':>7}   aim: {AIM:g}")
            for name, (callers, requests) in CASES.items():
                median = median_ms(targets, callers, requests, options.rounds)
                refusal, error = median["refusal"], median["server's error"]
                print(f"{name:28} {refusal:9.2f} {error:9.2f} {refusal / error:6.1f}x", flush=True)


if __name__ == "__main__":
    main()
