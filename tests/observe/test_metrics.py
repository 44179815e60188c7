import math
from types import SimpleNamespace

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from proxy.core.availability import VersionStatus
from proxy.core.drift import Change, Difference, Drift
from proxy.core.reasons import Reason
from proxy.core.types import ModelKey
from proxy.core.verdict import Verdict, Violation
from proxy.observe.catalogue import METRICS
from proxy.observe.metrics import Metrics
from proxy.observe.reloads import Reloads
from proxy.observe.series import Limits
from proxy.upstream.control import STATES as BACKENDS
from proxy.workers.merging import merge
from proxy.workers.state import family_of, metric_of
from tests.observe.ended import ended

PREDICT = "/tensorflow.serving.PredictionService/Predict"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(("1.2.3", "3.11", "interpreted"))


def scrape(metrics: Metrics) -> dict[tuple[str, frozenset], float]:
    """Every sample of the text exposition, as a client of /metrics reads it."""
    samples = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, f"{key} is exposed twice"
            samples[key] = sample.value
    return samples


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return scrape(metrics).get((name, frozenset(labels.items())))


def predict(metrics: Metrics, **fields) -> None:
    told = {"model": "m", "version": 1, "signature": "serving_default", "seconds": 0.004, **fields}
    method = told.pop("method", PREDICT)
    metrics.call_started(method, "unary")
    metrics.call_ended(ended(method, **told))


def violation(reason: Reason) -> Violation:
    return Violation(reason, "inputs", "input 'x'", "float32", "int32")


def test_a_success_is_one_request_under_its_confirmed_names(metrics):
    predict(metrics, messages_received=1, messages_sent=1)
    labels = {"method": "Predict", "model": "m", "signature": "serving_default", "version": "1", "code": "OK"}
    assert value(metrics, "tfs_proxy_requests_total", **labels) == 1
    grpc = {
        "grpc_type": "unary",
        "grpc_service": "tensorflow.serving.PredictionService",
        "grpc_method": "Predict",
    }
    assert value(metrics, "grpc_server_started_total", **grpc) == 1
    assert value(metrics, "grpc_server_handled_total", **grpc, grpc_code="OK") == 1
    assert value(metrics, "grpc_server_msg_received_total", **grpc) == 1
    assert value(metrics, "grpc_server_msg_sent_total", **grpc) == 1
    assert value(metrics, "grpc_server_handling_seconds_count", **grpc) == 1


def test_the_histograms_hold_times_sizes_and_batch(metrics):
    predict(
        metrics, seconds=0.25, upstream_seconds=0.2, request_bytes=256, response_bytes=70_000, batch_size=4
    )
    assert value(metrics, "tfs_proxy_request_seconds_sum", method="Predict", model="m") == 0.25
    assert value(metrics, "tfs_proxy_request_seconds_bucket", method="Predict", model="m", le="0.1") == 0
    assert value(metrics, "tfs_proxy_request_seconds_bucket", method="Predict", model="m", le="0.25") == 1
    assert value(metrics, "tfs_proxy_request_seconds_bucket", method="Predict", model="m", le="+Inf") == 1
    assert value(metrics, "tfs_proxy_upstream_seconds_sum", method="Predict", model="m") == 0.2
    assert value(metrics, "tfs_proxy_overhead_seconds_sum") == pytest.approx(0.05)
    assert value(metrics, "tfs_proxy_request_bytes_bucket", le="256.0") == 1
    assert value(metrics, "tfs_proxy_response_bytes_sum") == 70_000
    assert value(metrics, "tfs_proxy_batch_size_bucket", model="m", le="2.0") == 0
    assert value(metrics, "tfs_proxy_batch_size_bucket", model="m", le="4.0") == 1


def test_a_call_that_waited_for_a_server_in_vain_is_no_overhead(metrics):
    metrics.call_ended(ended(PREDICT, code=14, seconds=0.5))
    assert value(metrics, "tfs_proxy_overhead_seconds_count") == 0
    assert (
        sum(v for (name, _), v in scrape(metrics).items() if name == "tfs_proxy_request_seconds_sum") == 0.5
    )


def test_a_call_that_never_reached_the_upstream_has_no_upstream_time_and_is_all_overhead(metrics):
    predict(metrics, seconds=0.002)
    assert value(metrics, "tfs_proxy_upstream_seconds_count", method="Predict", model="m") == 0
    assert value(metrics, "tfs_proxy_overhead_seconds_sum") == 0.002


def test_in_flight_goes_up_and_down(metrics):
    metrics.call_started(PREDICT, "unary")
    metrics.call_started(PREDICT, "unary")
    assert value(metrics, "tfs_proxy_in_flight") == 2
    metrics.call_ended(ended(PREDICT))
    assert value(metrics, "tfs_proxy_in_flight") == 1


def test_a_refusal_counts_once_under_its_first_reason(metrics):
    refusal = Verdict((violation(Reason.DTYPE_MISMATCH), violation(Reason.RANK_MISMATCH)))
    predict(metrics, code=3, refusal=refusal)
    names = {"model": "m", "signature": "serving_default"}
    assert value(metrics, "tfs_proxy_refusals_total", **names, reason="DTYPE_MISMATCH") == 1
    assert value(metrics, "tfs_proxy_refusals_total", **names, reason="RANK_MISMATCH") is None


@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_each_violation_of_a_call_counts_under_its_own_reason(metrics, mode):
    reasons = [Reason.DTYPE_MISMATCH, Reason.RANK_MISMATCH, Reason.DTYPE_MISMATCH]
    found = tuple(map(violation, reasons))
    predict(metrics, **({"refusal": Verdict(found)} if mode == "enforce" else {"would_refuse": found}))
    names = {"model": "m", "signature": "serving_default"}
    for reason in set(reasons):
        counted = value(metrics, "tfs_proxy_violations_total", **names, reason=reason.value)
        assert counted == reasons.count(reason)
    calls = "refusals" if mode == "enforce" else "would_refuse"
    assert value(metrics, f"tfs_proxy_{calls}_total", **names, reason="DTYPE_MISMATCH") == 1


def test_a_warning_is_no_violation(metrics):
    predict(metrics, warnings=(violation(Reason.BATCH_EMPTY),))
    names = {"model": "m", "signature": "serving_default", "reason": "BATCH_EMPTY"}
    assert value(metrics, "tfs_proxy_violations_total", **names) is None


def test_a_call_counts_under_each_reason_it_is_warned_of(metrics):
    warnings = (
        violation(Reason.BATCH_MISMATCH),
        violation(Reason.BATCH_EMPTY),
        violation(Reason.BATCH_EMPTY),
    )
    predict(metrics, warnings=warnings)
    names = {"model": "m", "signature": "serving_default"}
    assert value(metrics, "tfs_proxy_warnings_total", **names, reason="BATCH_MISMATCH") == 1
    assert value(metrics, "tfs_proxy_warnings_total", **names, reason="BATCH_EMPTY") == 1


def test_what_observe_mode_let_through_is_counted_apart_from_refusals(metrics):
    predict(metrics, would_refuse=(violation(Reason.DTYPE_MISMATCH),))
    names = {"model": "m", "signature": "serving_default", "reason": "DTYPE_MISMATCH"}
    assert value(metrics, "tfs_proxy_would_refuse_total", **names) == 1
    assert value(metrics, "tfs_proxy_refusals_total", **names) is None


def test_a_failed_judgement_is_counted(metrics):
    predict(metrics, judge_failed=True)
    assert value(metrics, "tfs_proxy_judge_failures_total") == 1


def test_a_known_method_keeps_the_type_of_its_service_however_it_is_relayed(metrics):
    method = "/tensorflow.serving.ModelService/GetModelStatus"
    metrics.call_started(method, "bidi_stream")
    metrics.call_ended(ended(method, grpc_type="bidi_stream"))
    grpc = {
        "grpc_type": "unary",
        "grpc_service": "tensorflow.serving.ModelService",
        "grpc_method": "GetModelStatus",
    }
    assert value(metrics, "grpc_server_handled_total", **grpc, grpc_code="OK") == 1


def test_both_versions_of_reflection_share_one_request_series(metrics):
    for version in ("v1", "v1alpha"):
        method = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        metrics.call_started(method, "bidi_stream")
        metrics.call_ended(ended(method))
    labels = {"model": "_other", "signature": "_other", "version": "_other", "code": "OK"}
    assert value(metrics, "tfs_proxy_requests_total", method="ServerReflectionInfo", **labels) == 2


def test_a_code_beyond_the_seventeen_is_unknown(metrics):
    predict(metrics, code=99)
    predict(metrics, code=-1)
    labels = {"method": "Predict", "model": "m", "signature": "serving_default", "version": "1"}
    assert value(metrics, "tfs_proxy_requests_total", **labels, code="Unknown") == 2


def test_known_methods_have_zero_series_before_the_first_call(metrics):
    grpc = {
        "grpc_type": "unary",
        "grpc_service": "tensorflow.serving.PredictionService",
        "grpc_method": "Predict",
    }
    for code in ("OK", "InvalidArgument", "NotFound", "Unavailable", "DeadlineExceeded", "ResourceExhausted"):
        assert value(metrics, "grpc_server_handled_total", **grpc, grpc_code=code) == 0
    assert value(metrics, "tfs_proxy_judge_failures_total") == 0
    assert value(metrics, "tfs_proxy_signature_fetches_total", result="error") == 0
    assert value(metrics, "tfs_proxy_upstream_up") == 0


def test_no_created_series_is_exposed(metrics):
    predict(metrics)
    assert not [name for name, _ in scrape(metrics) if name.endswith("_created")]


def test_the_openmetrics_exposition_parses_and_says_the_same(metrics):
    predict(metrics, batch_size=1, upstream_seconds=0.001)
    metrics.versions_changed("m", (VersionStatus(1, "AVAILABLE"),))
    families = {
        family.name: family for family in parse_openmetrics(generate_openmetrics(metrics.registry).decode())
    }
    declared = {name.removesuffix("_total") for name in METRICS}
    assert declared <= families.keys()
    assert families["tfs_proxy_requests"].samples[0].value == 1


def test_what_is_declared_is_counted_and_nothing_else(metrics):
    assert metrics._samples().keys() == METRICS.keys()


# === events ===


def test_the_upstream_is_up_or_down(metrics):
    metrics.upstream_changed(True)
    assert value(metrics, "tfs_proxy_upstream_up") == 1
    metrics.upstream_changed(False)
    assert value(metrics, "tfs_proxy_upstream_up") == 0


def test_a_version_has_one_for_its_state_and_zero_for_the_others(metrics):
    metrics.versions_changed("m", (VersionStatus(2, "LOADING"), VersionStatus(1, "AVAILABLE")))
    state = "tfs_proxy_model_version_state"
    assert value(metrics, state, model="m", version="2", state="LOADING") == 1
    assert value(metrics, state, model="m", version="2", state="AVAILABLE") == 0
    assert value(metrics, state, model="m", version="1", state="AVAILABLE") == 1


def test_end_with_an_error_is_failed_and_end_without_is_not(metrics):
    metrics.versions_changed("m", (VersionStatus(2, "END", 11, "Read less bytes"), VersionStatus(1, "END")))
    state = "tfs_proxy_model_version_state"
    assert value(metrics, state, model="m", version="2", state="FAILED") == 1
    assert value(metrics, state, model="m", version="2", state="END") == 0
    assert value(metrics, state, model="m", version="1", state="END") == 1


def test_a_model_the_server_no_longer_has_shows_no_state(metrics):
    metrics.versions_changed("m", (VersionStatus(1, "AVAILABLE"),))
    metrics.versions_changed("m", ())
    assert value(metrics, "tfs_proxy_model_version_state", model="m", version="1", state="AVAILABLE") is None


def test_drift_counts_by_kind_and_a_known_model_starts_at_zero(metrics):
    predict(metrics)
    assert value(metrics, "tfs_proxy_signature_drift_total", model="m", kind="breaking") == 0
    metrics.signature_drifted(Drift("m", 1, 2, ()))
    metrics.signature_drifted(Drift("m", 2, 3, (Difference("s", Change.INPUT_REMOVED, breaking=True),)))
    metrics.signature_drifted(Drift("m", 3, 4, (Difference("s", Change.OUTPUT_ADDED, breaking=False),)))
    assert value(metrics, "tfs_proxy_signature_drift_total", model="m", kind="breaking") == 1
    assert value(metrics, "tfs_proxy_signature_drift_total", model="m", kind="compatible") == 1


def test_fetches_count_by_result(metrics):
    metrics.signature_fetched(ModelKey("m"), "ok", 0.001)
    assert value(metrics, "tfs_proxy_signature_fetches_total", result="ok") == 1


def test_the_age_of_signatures_is_asked_for_at_the_scrape_and_absent_without_any():
    ages: list[float | None] = [None]
    metrics = Metrics(("1", "3.11", "interpreted"), signature_age=lambda: ages[0])
    assert value(metrics, "tfs_proxy_signature_age_seconds") is None
    ages[0] = 12.5
    assert value(metrics, "tfs_proxy_signature_age_seconds") == 12.5


def test_the_build_is_told(metrics):
    labels = next(dict(labels) for name, labels in scrape(metrics) if name == "tfs_proxy_build_info")
    assert labels == {"version": "1.2.3", "python": "3.11", "hot_path": "interpreted"}


# === cardinality ===


def flood_limits() -> Limits:
    return Limits(models=5, signatures=2, versions=2, rows=50, timings=6)


def test_no_client_can_grow_the_scrape(metrics):
    predict(metrics)
    predict(
        metrics,
        code=5,
        model=None,
        version=None,
        signature="",
        refusal=Verdict((violation(Reason.MODEL_NOT_FOUND),)),
    )
    predict(metrics, code=9, signature="", refusal=Verdict((violation(Reason.SIGNATURE_NOT_FOUND),)))
    metrics.call_started("/nobody.Knows/Method", "unary")
    metrics.call_ended(ended("/nobody.Knows/Method", code=12))
    before = scrape(metrics).keys()
    for n in range(500):
        predict(
            metrics,
            code=5,
            model=None,
            version=None,
            signature=f"sig{n}",
            refusal=Verdict((violation(Reason.MODEL_NOT_FOUND),)),
        )
        predict(
            metrics, code=9, signature=f"sig{n}", refusal=Verdict((violation(Reason.SIGNATURE_NOT_FOUND),))
        )
        metrics.call_started(f"/evil.Service/Method{n}", f"type{n}")
        metrics.call_ended(ended(f"/evil.Service/Method{n}", grpc_type=f"type{n}", code=12))
    assert scrape(metrics).keys() == before


def test_an_invented_signature_stays_out_of_the_labels_in_observe_mode_too(metrics):
    predict(metrics, signature="invented", would_refuse=(violation(Reason.SIGNATURE_NOT_FOUND),))
    assert b"invented" not in generate_latest(metrics.registry)


def test_a_server_with_thousands_of_models_fills_the_limits_and_no_more():
    metrics = Metrics(("1", "3.11", "interpreted"))
    reasons = list(Reason)
    for n in range(3000):
        for code in (0, 3, 14):
            predict(
                metrics,
                model=f"model{n}",
                version=n % 40,
                signature=f"sig{n % 40}",
                code=code,
                batch_size=1,
                refusal=Verdict((violation(reasons[n % len(reasons)]),)),
            )
        metrics.versions_changed(f"model{n}", tuple(VersionStatus(v, "AVAILABLE") for v in range(40)))
    assert len(scrape(metrics)) < 50_000
    labels = {"method": "Predict", "model": "_other", "signature": "_other", "version": "_other"}
    assert value(metrics, "tfs_proxy_requests_total", **labels, code="OK") == 2800


def test_everything_beyond_the_rows_still_adds_up():
    metrics = Metrics(("1", "3.11", "interpreted"), limits=flood_limits())
    calls = 0
    for model in range(10):
        for version in range(4):
            for code in range(17):
                predict(metrics, model=f"m{model}", version=version, code=code)
                calls += 1
    samples = scrape(metrics)
    total = math.fsum(v for (name, _), v in samples.items() if name == "tfs_proxy_requests_total")
    assert total == calls
    times = math.fsum(v for (name, _), v in samples.items() if name == "tfs_proxy_request_seconds_count")
    assert times == calls
    rows = [labels for name, labels in samples if name == "tfs_proxy_requests_total"]
    assert len(rows) <= 50 + 17


def test_an_unloaded_versions_series_are_dropped_after_ten_minutes():
    clock = Clock()
    metrics = Metrics(("1", "3.11", "interpreted"), clock=clock)
    predict(metrics, version=1)
    metrics.versions_changed("m", (VersionStatus(2, "AVAILABLE"), VersionStatus(1, "END")))
    predict(metrics, version=2)
    labels = {"method": "Predict", "model": "m", "signature": "serving_default", "code": "OK"}
    assert value(metrics, "tfs_proxy_requests_total", **labels, version="1") == 1
    clock.now = 600.0
    metrics.signature_fetched(ModelKey("m"), "ok", 0.001)
    assert value(metrics, "tfs_proxy_requests_total", **labels, version="1") is None
    assert value(metrics, "tfs_proxy_requests_total", **labels, version="2") == 1
    predict(metrics, version=2)
    assert value(metrics, "tfs_proxy_requests_total", **labels, version="2") == 2


def test_a_model_that_is_gone_leaves_no_series_and_grpc_counters_never_go_back():
    clock = Clock()
    metrics = Metrics(("1", "3.11", "interpreted"), clock=clock)
    predict(metrics, batch_size=1, refusal=Verdict((violation(Reason.DTYPE_MISMATCH),)))
    metrics.versions_changed("m", ())
    clock.now = 600.0
    metrics.signature_fetched(ModelKey("n"), "absent", 0.001)
    samples = scrape(metrics)
    assert not [labels for _, labels in samples if ("model", "m") in labels]
    grpc = {
        "grpc_type": "unary",
        "grpc_service": "tensorflow.serving.PredictionService",
        "grpc_method": "Predict",
    }
    assert samples["grpc_server_handling_seconds_count", frozenset(grpc.items())] == 1


def test_a_model_name_is_escaped_in_the_scrape(metrics):
    predict(metrics, model='we"ird\n\\name')
    assert (
        value(
            metrics,
            "tfs_proxy_requests_total",
            method="Predict",
            model='we"ird\n\\name',
            signature="serving_default",
            version="1",
            code="OK",
        )
        == 1
    )


def test_what_looking_at_values_took_is_shown_by_model_and_only_of_calls_that_were_looked_at(metrics):
    predict(metrics, value_seconds=0.0002)
    predict(metrics, value_seconds=0.002, code=3)
    predict(metrics)
    assert value(metrics, "tfs_proxy_value_check_seconds_count", model="m") == 2
    assert value(metrics, "tfs_proxy_value_check_seconds_bucket", model="m", le="0.00025") == 1
    assert value(metrics, "tfs_proxy_value_check_seconds_sum", model="m") == pytest.approx(0.0022)


def test_value_checks_of_models_that_nobody_confirmed_are_one_series(metrics):
    for _ in range(3):
        predict(metrics, model=None, value_seconds=0.001)
    assert value(metrics, "tfs_proxy_value_check_seconds_count", model="_other") == 3


def test_findings_in_outputs_are_shown_as_they_stand():
    counts, findings = {"checked": 1}, {("m", "serving_default", "identical"): 0}
    metrics = Metrics(
        ("1", "3.11", "interpreted"), outputs_checked=lambda: counts, output_findings=lambda: findings
    )
    counts["checked"], findings["m", "serving_default", "identical"] = 5, 2
    assert value(metrics, "tfs_proxy_outputs_checked_total", result="checked") == 5
    labels = {"model": "m", "signature": "serving_default", "kind": "identical"}
    assert value(metrics, "tfs_proxy_output_findings_total", **labels) == 2


def test_bounds_are_there_before_they_are_hit_and_what_has_none_is_not_shown():
    usage = SimpleNamespace(
        connections=3,
        connections_limit=-1,
        inflight_bytes=5,
        inflight_bytes_limit=7,
        upstream_calls=2,
        upstream_calls_limit=9,
    )
    metrics = Metrics(("0", "3.11", "interpreted"), bounds=("calls", "stalled"), usage=lambda: usage)
    metrics.bound_hit("calls")
    sample = metrics.registry.get_sample_value
    assert sample("tfs_proxy_bound_hits_total", {"bound": "calls"}) == 1
    assert sample("tfs_proxy_bound_hits_total", {"bound": "stalled"}) == 0
    assert sample("tfs_proxy_connections") == 3
    assert sample("tfs_proxy_connections_limit") is None
    assert (sample("tfs_proxy_upstream_calls"), sample("tfs_proxy_upstream_calls_limit")) == (2, 9)
    assert (sample("tfs_proxy_inflight_bytes"), sample("tfs_proxy_inflight_bytes_limit")) == (5, 7)


def test_every_state_of_servers_is_shown_and_none_where_nobody_tells():
    counts = {}
    metrics = Metrics(("0", "3.11", "interpreted"), backends=lambda: counts)
    assert value(metrics, "tfs_proxy_upstream_backends", state="serving") is None
    counts["ejected"] = 2
    told = [value(metrics, "tfs_proxy_upstream_backends", state=state) for state in BACKENDS]
    assert told == [0, 0, 2, 0]


def test_what_the_recorder_the_refusals_and_the_certificates_tell_is_shown_as_it_stands():
    paused, recent = None, (0, 0)
    metrics = Metrics(
        ("0", "3.11", "interpreted"),
        capture_paused=lambda: paused,
        recent_refusals=lambda: recent,
        certificate_expiries={"listen_cert": 1.8e9},
        reloads=(reloads := Reloads(clock=lambda: 1.7e9)),
    )
    assert value(metrics, "tfs_proxy_capture_paused") is None
    for paused in (False, True):
        assert value(metrics, "tfs_proxy_capture_paused") == paused
    recent = (7, 4)
    assert value(metrics, "tfs_proxy_recent_refusals") == 7
    assert value(metrics, "tfs_proxy_recent_refusals_largest_client") == 4
    assert value(metrics, "tfs_proxy_certificate_expiry_timestamp_seconds", use="listen_cert") == 1.8e9
    metrics.certificates_read({"listen_cert": 1.9e9})
    assert value(metrics, "tfs_proxy_certificate_expiry_timestamp_seconds", use="listen_cert") == 1.9e9
    reloads.failed("wrong")
    assert value(metrics, "tfs_proxy_config_reloads_total", result="failed") == 1
    assert value(metrics, "tfs_proxy_config_reloads_total", result="ok") == 0
    assert value(metrics, "tfs_proxy_config_last_reload_successful") == 0
    assert value(metrics, "tfs_proxy_config_last_reload_success_timestamp_seconds") == 1.7e9


def exemplars(metrics: Metrics, name: str) -> dict[str, tuple[str, float]]:
    """Bucket → trace and value, as a scraper of OpenMetrics reads it."""
    return {
        sample.labels["le"]: (sample.exemplar.labels["trace_id"], sample.exemplar.value)
        for family in parse_openmetrics(generate_openmetrics(metrics.registry).decode())
        for sample in family.samples
        if sample.name == f"{name}_bucket" and sample.exemplar
    }


def traced(trace_id: str, seconds: float, *, sampled: bool = True):
    trace = SimpleNamespace(trace_id=trace_id, sampled=sampled)
    return ended(PREDICT, seconds=seconds, upstream_seconds=seconds / 2, trace=trace)


def test_each_bucket_of_the_latencies_has_the_trace_of_its_newest_call(metrics):
    for trace_id, seconds in (("a" * 32, 0.3), ("b" * 32, 0.3), ("c" * 32, 0.004), ("d" * 32, 1e9)):
        metrics.call_started(PREDICT, "unary")
        metrics.call_ended(traced(trace_id, seconds))
    found = exemplars(metrics, "tfs_proxy_request_seconds")
    assert sorted(found.values()) == [("b" * 32, 0.3), ("c" * 32, 0.004), ("d" * 32, 1e9)]
    assert found["+Inf"] == ("d" * 32, 1e9)
    assert {value for _, value in exemplars(metrics, "tfs_proxy_upstream_seconds").values()} == {
        0.15,
        0.002,
        5e8,
    }
    assert exemplars(metrics, "tfs_proxy_overhead_seconds") == {}


def test_a_call_whose_trace_is_not_kept_is_no_example(metrics):
    metrics.call_started(PREDICT, "unary")
    metrics.call_ended(traced("a" * 32, 0.3, sampled=False))
    metrics.call_started(PREDICT, "unary")
    metrics.call_ended(ended(PREDICT, seconds=0.3))
    assert exemplars(metrics, "tfs_proxy_request_seconds") == {}


def test_whoever_does_not_ask_for_openmetrics_sees_no_traces(metrics):
    metrics.call_started(PREDICT, "unary")
    metrics.call_ended(traced("a" * 32, 0.3))
    assert "aaaa" not in generate_latest(metrics.registry).decode()
    assert (
        sum(
            value for (name, _), value in scrape(metrics).items() if name == "tfs_proxy_request_seconds_count"
        )
        == 1
    )


def test_several_workers_tell_the_numbers_without_traces(metrics):
    metrics.call_started(PREDICT, "unary")
    metrics.call_ended(traced("a" * 32, 0.3))
    (merged,) = (
        family
        for family in merge([[family_of(each) for each in metrics.collect()]] * 2)
        if family.name == "tfs_proxy_request_seconds"
    )
    assert {each.value for each in merged.samples if each.name.endswith("_count")} == {2}
    assert all(sample.exemplar is None for sample in metric_of(merged).samples)
