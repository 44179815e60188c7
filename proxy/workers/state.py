"""What a worker tells of itself, as JSON and back: conditions, metrics, models, problems, and so on.

Law: both ends of one private socket, of one version; `decode(encode(x)) == x`. It knows no socket, and the numbers
only as samples.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from prometheus_client.metrics_core import Metric

from proxy.core.availability import VersionStatus
from proxy.core.types import Servable, Signature, TensorSpec
from proxy.observe.admin.status import Upstream
from proxy.observe.admin.views import Check, ModelListing
from proxy.observe.drifts import SignatureDrift
from proxy.observe.problem import Example, Problem, Sender
from proxy.observe.refusals import Found, Refusal
from proxy.observe.suspects import Death, Suspect


class Sample(NamedTuple):
    """One line of a scrape."""

    name: str
    labels: Mapping[str, str]
    value: float


class Family(NamedTuple):
    """One metric with its samples. `kind` and `name` are prometheus_client's: a counter's without `_total`."""

    name: str
    kind: str
    help: str
    samples: Sequence[Sample] = ()


def family_of(metric: Metric) -> Family:
    """What prometheus_client has collected, as a Family."""
    samples = [Sample(each.name, each.labels, float(each.value)) for each in metric.samples]
    return Family(metric.name, metric.type, metric.documentation, samples)


def metric_of(family: Family) -> Metric:
    """A Family as prometheus_client encodes it."""
    metric = Metric(family.name, family.help, family.kind)
    for sample in family.samples:
        metric.add_sample(sample.name, dict(sample.labels), sample.value)
    return metric


def _checks(found: Iterable[Any]) -> list[Check]:
    return [Check(**each) for each in found]


def _families(found: Iterable[Any]) -> list[Family]:
    return [
        Family(name, kind, told, [Sample(*each) for each in samples]) for name, kind, told, samples in found
    ]


def _refusals(found: Iterable[Any]) -> list[Refusal]:
    return [
        Refusal(
            **each
            | {
                "violations": tuple(Found(**violation) for violation in each["violations"]),
                "outputs": tuple(each["outputs"]),
            }
        )
        for each in found
    ]


def _deaths(found: Iterable[Any]) -> list[Death]:
    return [Death(**each | {"suspects": [Suspect(**call) for call in each["suspects"]]}) for each in found]


def _problems(found: Iterable[Any]) -> list[Problem]:
    return [
        Problem(
            **each
            | {
                "sparkline": tuple(each["sparkline"]),
                "senders": tuple(Sender(**sender) for sender in each["senders"]),
                "examples": tuple(
                    Example(**example | {"outputs": tuple(example["outputs"])})
                    for example in each["examples"]
                ),
            }
        )
        for each in found
    ]


def _drifts(found: Iterable[Any]) -> list[SignatureDrift]:
    return [SignatureDrift(**each | {"changes": tuple(each["changes"])}) for each in found]


def _listing_json(listing: ModelListing) -> dict[str, Any]:
    return {
        "name": listing.name,
        "mode": listing.mode,
        "versions": [
            [each.version, each.state, each.error_code, each.error_message] for each in listing.versions
        ],
        "servables": [_servable_json(each) for each in listing.servables],
    }


def _servable_json(servable: Servable) -> dict[str, Any]:
    return {
        "model": servable.model,
        "version": servable.version,
        "signatures": {
            name: {
                "name": signature.name,
                "method": signature.method,
                "inputs": _tensors_json(signature.inputs),
                "outputs": _tensors_json(signature.outputs),
                "defaults": sorted(signature.defaults),
            }
            for name, signature in servable.signatures.items()
        },
    }


def _tensors_json(tensors: Mapping[str, TensorSpec]) -> list[list[Any]]:
    return [
        [alias, spec.alias, spec.dtype, None if spec.shape is None else list(spec.shape), spec.graph_name]
        for alias, spec in tensors.items()
    ]


def _listings(found: Iterable[Any]) -> list[ModelListing]:
    return [
        ModelListing(
            each["name"],
            tuple(VersionStatus(*version) for version in each["versions"]),
            tuple(_servable(servable) for servable in each["servables"]),
            each["mode"],
        )
        for each in found
    ]


def _servable(found: Any) -> Servable:
    return Servable(
        found["model"],
        found["version"],
        {
            key: Signature(
                each["name"],
                each["method"],
                _tensors(each["inputs"]),
                _tensors(each["outputs"]),
                frozenset(each["defaults"]),
            )
            for key, each in found["signatures"].items()
        },
    )


def _tensors(found: Iterable[Any]) -> dict[str, TensorSpec]:
    return {
        key: TensorSpec(alias, dtype, None if shape is None else tuple(shape), graph_name)
        for key, alias, dtype, shape, graph_name in found
    }


class Part(NamedTuple):
    """One part of the state, both ways."""

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


PARTS: Final[Mapping[str, Part]] = {
    "checks": Part(lambda checks: [asdict(each) for each in checks], _checks),
    "drifts": Part(lambda drifts: [asdict(each) for each in drifts], _drifts),
    "metrics": Part(list, _families),
    "models": Part(lambda listings: [_listing_json(each) for each in listings], _listings),
    "problems": Part(lambda problems: [each.as_json() for each in problems], _problems),
    "refusals": Part(lambda refusals: [each.as_json() for each in refusals], _refusals),
    "suspects": Part(lambda deaths: [each.as_json() for each in deaths], _deaths),
    "upstreams": Part(
        lambda upstreams: [asdict(each) for each in upstreams],
        lambda found: [Upstream(**each) for each in found],
    ),
}
"""By name, which is also the path that a worker is asked for it."""
