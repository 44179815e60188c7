"""What observing one plain successful Predict costs: `python tests/bench/observe_cost.py`."""

import statistics
import timeit

from proxy.observe.metrics import Metrics
from tests.observe.ended import ended

PREDICT = "/tensorflow.serving.PredictionService/Predict"


def main() -> None:
    metrics = Metrics(("bench", "3.11", "interpreted"))
    outcome = ended(
        PREDICT,
        seconds=0.004,
        upstream_seconds=0.0035,
        request_bytes=270_000,
        response_bytes=4_000,
        messages_received=1,
        messages_sent=1,
        model="detector",
        version=3,
        signature="serving_default",
        batch_size=1,
    )

    def call() -> None:
        metrics.call_started(PREDICT, "unary")
        metrics.call_ended(outcome)

    rounds = timeit.repeat(call, number=20_000, repeat=15)
    median = statistics.median(rounds) / 20_000 * 1e6
    print(f"call_started + call_ended: median {median:.2f} us, best {min(rounds) / 20_000 * 1e6:.2f} us")


if __name__ == "__main__":
    main()
