"""What a worker tells arrives as it was."""

import json

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.availability import VersionStatus
from proxy.core.types import Servable, Signature, TensorSpec
from proxy.observe.admin.status import Upstream
from proxy.observe.admin.views import Check, ModelListing
from proxy.observe.drifts import SignatureDrift
from proxy.observe.metrics import Metrics
from proxy.observe.problem import Example, Problem, Sender
from proxy.observe.refusals import Found, Refusal
from proxy.observe.suspects import Death, Suspect
from proxy.workers.state import PARTS, Family, Sample, family_of, metric_of

TEXT = st.text(max_size=8)
SPECS = st.builds(
    TensorSpec,
    TEXT,
    st.integers(0, 130),
    st.none() | st.lists(st.integers(-1, 1 << 40), max_size=4).map(tuple),
    TEXT,
)
TENSORS = st.dictionaries(TEXT, SPECS, max_size=3)
SIGNATURES = st.builds(Signature, TEXT, TEXT, TENSORS, TENSORS, st.frozensets(TEXT, max_size=2))
SERVABLES = st.builds(Servable, TEXT, st.integers(0, 1 << 62), st.dictionaries(TEXT, SIGNATURES, max_size=2))
VERSIONS = st.builds(VersionStatus, st.integers(0, 1 << 62), TEXT, st.integers(0, 16), TEXT)
STATE = {
    "checks": st.lists(st.builds(Check, TEXT, st.booleans(), TEXT), max_size=3),
    "models": st.lists(
        st.builds(
            ModelListing,
            TEXT,
            st.lists(VERSIONS, max_size=2).map(tuple),
            st.lists(SERVABLES, max_size=2).map(tuple),
            TEXT,
        ),
        max_size=2,
    ),
    "problems": st.lists(
        st.builds(
            Problem,
            *(TEXT,) * 6,
            st.none() | st.integers(0, 1 << 62),
            TEXT,
            st.integers(1, 1 << 40),
            *(TEXT,) * 2,
            st.integers(0, 1 << 40),
            st.lists(st.integers(0, 9), max_size=3).map(tuple),
            *(TEXT,) * 5,
            st.lists(st.builds(Sender, TEXT, TEXT, TEXT, st.integers(1, 9), TEXT, TEXT), max_size=2).map(
                tuple
            ),
            st.integers(0, 9),
            st.lists(
                st.builds(
                    Example,
                    *(TEXT,) * 6,
                    st.none() | st.integers(0, 1 << 62),
                    TEXT,
                    st.dictionaries(TEXT, TEXT, max_size=2),
                    st.lists(TEXT, max_size=2).map(tuple),
                    TEXT,
                ),
                max_size=2,
            ).map(tuple),
        ),
        max_size=2,
    ),
    "drifts": st.lists(
        st.builds(
            SignatureDrift,
            *(TEXT,) * 3,
            *(st.integers(0, 1 << 62),) * 2,
            st.booleans(),
            st.lists(TEXT, max_size=2).map(tuple),
        ),
        max_size=2,
    ),
    "upstreams": st.lists(st.builds(Upstream, TEXT, TEXT, st.none() | TEXT, TEXT), max_size=2),
    "refusals": st.lists(
        st.builds(
            Refusal,
            *(TEXT, TEXT, TEXT, TEXT, TEXT),
            st.none() | st.integers(0, 1 << 62),
            TEXT,
            st.lists(st.builds(Found, TEXT, TEXT, TEXT, TEXT, TEXT), max_size=2).map(tuple),
            st.dictionaries(TEXT, TEXT, max_size=2),
            st.lists(TEXT, max_size=2).map(tuple),
            TEXT,
        ),
        max_size=2,
    ),
    "suspects": st.lists(
        st.builds(
            Death,
            TEXT,
            st.integers(0, 9),
            st.lists(
                st.builds(
                    Suspect, TEXT, TEXT, TEXT, TEXT, st.dictionaries(TEXT, TEXT), st.floats(0, 9), TEXT
                ),
                max_size=2,
            ),
        ),
        max_size=2,
    ),
    "metrics": st.lists(
        st.builds(
            Family,
            TEXT,
            st.sampled_from(["counter", "gauge", "histogram"]),
            TEXT,
            st.lists(
                st.builds(Sample, TEXT, st.dictionaries(TEXT, TEXT, max_size=2), st.floats(allow_nan=False)),
                max_size=3,
            ),
        ),
        max_size=2,
    ),
}


@given(told=st.fixed_dictionaries(STATE))
def test_every_part_arrives_as_it_was(told):
    assert told.keys() == PARTS.keys()
    for name, value in told.items():
        part = PARTS[name]
        assert part.decode(json.loads(json.dumps(part.encode(value)))) == value


def test_the_families_of_a_proxy_are_encoded_again_as_they_were():
    collected = list(Metrics(("1", "3.11", "interpreted")).registry.collect())
    again = [metric_of(family_of(metric)) for metric in collected]
    assert [(each.name, each.type, each.documentation) for each in again] == [
        (each.name, each.type, each.documentation) for each in collected
    ]
    for old, new in zip(collected, again, strict=True):
        assert [(each.name, each.labels, each.value) for each in new.samples] == [
            (each.name, each.labels, each.value) for each in old.samples
        ]
