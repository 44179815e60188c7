"""Several workers' metrics are those of one: sums that never fall, gauges by what they mean."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as open_metrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from proxy.observe.catalogue import METRICS
from proxy.observe.series import Histogram
from proxy.workers.merging import RETAIN_SECONDS, Ledger, lasting, merge
from proxy.workers.state import Family, Sample, family_of, metric_of

COUNTER = METRICS["tfs_proxy_refusals_total"]
HISTOGRAM = METRICS["tfs_proxy_request_seconds"]
LABELS = st.tuples(
    st.sampled_from(["a", "b", "_other"]), st.sampled_from(["s", ""]), st.sampled_from(["R", "Q"])
)
# Whole numbers: sums of them are exact in any order.
NUMBERS = st.integers(0, 1 << 40).map(float)


@st.composite
def workers(draw, most=4) -> list[list[Family]]:
    """What some workers tell: a counter, a histogram and gauges of each kind."""
    return [draw(_families()) for _ in range(draw(st.integers(0, most)))]


@st.composite
def _families(draw) -> list[Family]:
    counts = draw(st.dictionaries(LABELS, NUMBERS, max_size=4))
    timed = {}
    for labels in draw(st.lists(st.sampled_from([("Predict", "a"), ("Predict", "b")]), unique=True)):
        timed[labels] = histogram = Histogram(HISTOGRAM.buckets)
        for value in draw(st.lists(st.integers(0, 100), max_size=5)):
            histogram.observe(value)
    return [
        family_of(COUNTER.family(counts.items())),
        family_of(HISTOGRAM.family(timed.items())),
        family_of(METRICS["tfs_proxy_in_flight"].family([((), draw(NUMBERS))])),
        family_of(METRICS["tfs_proxy_upstream_up"].family([((), draw(st.sampled_from([0.0, 1.0])))])),
        family_of(METRICS["tfs_proxy_signature_age_seconds"].family([((), draw(NUMBERS))])),
    ]


def numbers(families) -> dict[tuple, float]:
    """Series → value."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def gauge(name: str, *values: float) -> float:
    families = [[Family(name, "gauge", "", [Sample(name, {}, value)])] for value in values]
    ((sample,),) = [family.samples for family in merge(families)]
    return sample.value


@given(told=workers())
def test_each_series_is_there_once_and_counters_are_sums(told):
    merged = merge(told)
    every = [numbers(families) for families in told]
    together = numbers(merged)
    assert sum(len(family.samples) for family in merged) == len(together)
    assert together.keys() == {key for each in every for key in each}
    for family in lasting(merged):
        for key, value in numbers([family]).items():
            assert value == sum(each.get(key, 0.0) for each in every)


@given(told=workers(most=3))
def test_the_order_of_workers_changes_no_number_and_how_they_are_grouped_neither(told):
    assert numbers(merge(told)) == numbers(merge(told[::-1]))
    assert numbers(merge([merge(told[:1]), merge(told[1:])])) == numbers(merge(told))


@given(told=workers())
def test_what_comes_out_is_a_scrape_in_both_forms(told):
    registry = CollectorRegistry(auto_describe=False)
    registry.register(type("Told", (), {"collect": lambda _: map(metric_of, merge(told))})())
    assert generate_latest(registry) is not None
    read = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(open_metrics(registry).decode())
        for sample in family.samples
    }
    assert read == numbers(merge(told))


def test_gauges_are_together_what_they_mean():
    assert gauge("tfs_proxy_in_flight", 2, 3) == 5
    assert gauge("tfs_proxy_upstream_up", 1, 0, 1) == 0
    assert gauge("tfs_proxy_signature_age_seconds", 3, 7, 5) == 7
    assert gauge("tfs_proxy_build_info", 1, 1) == 1
    assert gauge("process_start_time_seconds", 30, 10, 20) == 10
    assert gauge("process_resident_memory_bytes", 30, 10) == 40


def test_of_a_version_one_state_is_shown_though_workers_have_asked_at_different_times():
    family = METRICS["tfs_proxy_model_version_state"]
    told = [
        [family_of(family.family([(("m", "1", state), state == now) for state in ("LOADING", "AVAILABLE")]))]
        for now in ("AVAILABLE", "LOADING")
    ]
    assert {key for key, value in numbers(merge(told)).items() if value} == {
        (
            "tfs_proxy_model_version_state",
            frozenset({"model": "m", "version": "1", "state": "AVAILABLE"}.items()),
        )
    }


# === workers that have ended ===


@given(told=workers(), ended=workers(), now=st.floats(0, 100))
def test_a_sum_never_falls_when_a_worker_ends(told, ended, now):
    ledger = Ledger()
    before = numbers(lasting(merge([*told, *ended])))
    for families in ended:
        ledger.bury(families)
    after = numbers(lasting(merge([*told, ledger.kept(told, now)])))
    assert after == before


def test_the_gauges_of_a_worker_that_has_ended_go_with_it():
    ledger = Ledger()
    ledger.bury([family_of(METRICS["tfs_proxy_in_flight"].family([((), 3)]))])
    assert ledger.kept([], 0) == []


def count(model: str, value: float) -> list[Family]:
    return [family_of(COUNTER.family([((model, "s", "R"), value)]))]


def test_counters_of_a_model_that_no_worker_tells_of_any_more_are_let_go_after_a_while():
    ledger = Ledger()
    ledger.bury([*count("gone", 2), *count("here", 3), *count("_other", 5)])
    living = [count("here", 1)]

    def models(now: float) -> set[str]:
        return {sample.labels["model"] for family in ledger.kept(living, now) for sample in family.samples}

    assert models(0) == {"gone", "here", "_other"}
    assert models(RETAIN_SECONDS - 1) == {"gone", "here", "_other"}
    assert models(RETAIN_SECONDS) == {"here", "_other"}
    # A worker that comes back to it begins anew.
    living.append(count("gone", 1))
    assert (
        numbers(merge([*living, ledger.kept(living, 2 * RETAIN_SECONDS)]))[
            "tfs_proxy_refusals_total", frozenset({"model": "gone", "signature": "s", "reason": "R"}.items())
        ]
        == 1
    )


def test_a_model_that_is_heard_of_again_keeps_its_counters_for_as_long_again():
    ledger = Ledger()
    ledger.bury(count("m", 2))
    ledger.kept([], 0)
    ledger.kept([count("m", 1)], RETAIN_SECONDS - 1)
    assert ledger.kept([], RETAIN_SECONDS)[0].samples
    assert ledger.kept([], 2 * RETAIN_SECONDS - 1)[0].samples


def test_versions_that_are_unloaded_are_let_go_and_those_that_are_loaded_stay_without_a_call():
    requests = METRICS["tfs_proxy_requests_total"]
    states = METRICS["tfs_proxy_model_version_state"]
    ledger = Ledger()
    ledger.bury(
        [
            family_of(
                requests.family([(("Predict", "m", "s", version, "OK"), 1) for version in ("1", "2", "")])
            )
        ]
    )
    living = [[family_of(states.family([(("m", "2", "AVAILABLE"), 1)]))]]
    ledger.kept(living, 0)
    (family,) = ledger.kept(living, RETAIN_SECONDS)
    assert [sample.labels["version"] for sample in family.samples] == ["2", ""]
