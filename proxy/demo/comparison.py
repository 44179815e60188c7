"""Every request twice: to the server itself and through the proxy; the answers as a client sees them.

Law: an ordinary client with the official stubs. It knows which answer came from whom and nothing of why.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import grpc
from google.rpc import error_details_pb2, status_pb2
from prometheus_client.parser import text_string_to_metric_families

from proxy.demo.processes import ModelServer, ProxyServer
from proxy.demo.requests import Sample
from proxy.wire.protos import predict_pb2

_OPTIONS: Final = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", -1),
    # A server that has just been restarted is found again at once.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)
_TIMEOUT: Final = 30.0
_SETTLE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `code` is the name of the status code; `reasons` those in the status details, the first
    that of ErrorInfo; `warnings` the trailing metadata of that name; `death` how the server died of it.
    """

    code: str
    text: str = ""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    death: str = ""

    @property
    def ok(self) -> bool:
        return self.code == "OK"


class Compared(NamedTuple):
    """One request and its two answers."""

    sample: Sample
    request: predict_pb2.PredictRequest
    alone: Answer
    proxied: Answer

    @property
    def as_expected(self) -> bool:
        """Whether the proxy did what it promises: forwards what is right, refuses or warns of what is not."""
        sample, proxied = self.sample, self.proxied
        if sample.reason is not None:
            return sample.reason.value in proxied.reasons[:1] and not proxied.death
        warned = sample.warning is None or any(
            each.startswith(f"{sample.warning.value}:") for each in proxied.warnings
        )
        return warned and not proxied.reasons and proxied.outputs == self.alone.outputs


class Client:
    """The official stub of PredictionService on one channel."""

    def __init__(self, target: str) -> None:
        # After proxy.wire.protos, so that these modules come without the TensorFlow runtime.
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        self._channel = grpc.insecure_channel(target, options=_OPTIONS)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def predict(self, request: predict_pb2.PredictRequest) -> Answer:
        """Send, and wait for the answer whatever it is."""
        try:
            response, call = self._stub.Predict.with_call(request, timeout=_TIMEOUT, wait_for_ready=False)
        except grpc.RpcError as error:
            return Answer(error.code().name, error.details() or "", reasons=_reasons(error))
        trailing = call.trailing_metadata() or ()
        warnings = tuple(value for key, value in trailing if key == "tfs-proxy-warning")
        return Answer("OK", outputs=dict(response.outputs), warnings=warnings)

    def close(self) -> None:
        self._channel.close()


def _reasons(error: Any) -> tuple[str, ...]:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            found: list[str] = []
            for detail in status_pb2.Status.FromString(value).details:
                info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
                if detail.Unpack(info):
                    found.insert(0, info.reason)
                elif detail.Unpack(bad_request):
                    found += [each.reason for each in bad_request.field_violations]
            return tuple(dict.fromkeys(found))
    return ()


def compare(samples: Iterable[Sample], server: ModelServer, proxy: ProxyServer) -> Iterator[Compared]:
    """Send every sample to both. A server that dies is started again before anything else is sent."""
    with ExitStack() as open_clients:
        alone, proxied = Client(server.target), Client(proxy.target)
        open_clients.callback(alone.close)
        open_clients.callback(proxied.close)
        for sample in samples:
            request = sample.build()
            answers = []
            for client in (alone, proxied):
                answer = client.predict(request)
                death = server.death() if answer.code == "UNAVAILABLE" else None
                if death is not None:
                    answer = Answer(answer.code, answer.text, reasons=answer.reasons, death=death)
                    server.start()
                    proxy.wait_until_ready()
                answers.append(answer)
            yield Compared(sample, request, *answers)


Series = tuple[str, tuple[tuple[str, str], ...]]
"""The name of a metric and the labels of one of its series."""


def counters(proxy: ProxyServer) -> dict[Series, float]:
    """Every counter of the proxy's own, scraped once no call is under way.

    A client has its answer a moment before the call is over and counted.
    """
    patience = time.monotonic() + _SETTLE_SECONDS
    while True:
        samples = [
            sample
            for family in text_string_to_metric_families(proxy.get("/metrics"))
            if family.name.startswith("tfs_proxy_")
            for sample in family.samples
        ]
        if time.monotonic() > patience or all(
            sample.value == 0 for sample in samples if sample.name == "tfs_proxy_in_flight"
        ):
            break
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for sample in samples
        if sample.name.endswith("_total")
    }


def moved(before: Mapping[Series, float], after: Mapping[Series, float]) -> dict[Series, float]:
    """By how much each counter rose between two scrapes; those that did not are left out."""
    rises = {series: value - before.get(series, 0.0) for series, value in after.items()}
    return {series: rise for series, rise in rises.items() if rise}
