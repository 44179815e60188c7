"""The metrics are an interface: this table is what dashboards and alerts of users rely on."""

import grpc
import pytest

from proxy.observe.catalogue import CODES, FOREIGN, METRICS, status_name
from proxy.observe.metrics import Metrics
from proxy.observe.series import Histogram

GRPC = {"grpc_type", "grpc_service", "grpc_method"}
PUBLISHED = {
    "tfs_proxy_requests_total": {"method", "model", "signature", "version", "code"},
    "tfs_proxy_refusals_total": {"model", "signature", "reason"},
    "tfs_proxy_violations_total": {"model", "signature", "reason"},
    "tfs_proxy_recent_refusals": set(),
    "tfs_proxy_recent_refusals_largest_client": set(),
    "tfs_proxy_warnings_total": {"model", "signature", "reason"},
    "tfs_proxy_would_refuse_total": {"model", "signature", "reason"},
    "tfs_proxy_upstream_errors_total": {"model", "reason"},
    "tfs_proxy_upstream_deaths_total": set(),
    "tfs_proxy_captured_total": {"result"},
    "tfs_proxy_capture_paused": set(),
    "tfs_proxy_outputs_checked_total": {"result"},
    "tfs_proxy_output_findings_total": {"model", "signature", "kind"},
    "tfs_proxy_value_check_seconds": {"model"},
    "tfs_proxy_request_seconds": {"method", "model"},
    "tfs_proxy_upstream_seconds": {"method", "model"},
    "tfs_proxy_overhead_seconds": set(),
    "tfs_proxy_request_bytes": set(),
    "tfs_proxy_response_bytes": set(),
    "tfs_proxy_batch_size": {"model"},
    "tfs_proxy_in_flight": set(),
    "tfs_proxy_connections": set(),
    "tfs_proxy_connections_limit": set(),
    "tfs_proxy_inflight_bytes": set(),
    "tfs_proxy_inflight_bytes_limit": set(),
    "tfs_proxy_bound_hits_total": {"bound"},
    "tfs_proxy_upstream_up": set(),
    "tfs_proxy_upstream_calls": set(),
    "tfs_proxy_upstream_calls_limit": set(),
    "tfs_proxy_upstream_backends": {"state"},
    "tfs_proxy_model_version_state": {"model", "version", "state"},
    "tfs_proxy_signature_fetches_total": {"result"},
    "tfs_proxy_signature_age_seconds": set(),
    "tfs_proxy_signature_drift_total": {"model", "kind"},
    "tfs_proxy_judge_failures_total": set(),
    "tfs_proxy_observer_failures_total": set(),
    "tfs_proxy_certificate_expiry_timestamp_seconds": {"use"},
    "tfs_proxy_config_reloads_total": {"result"},
    "tfs_proxy_config_last_reload_successful": set(),
    "tfs_proxy_config_last_reload_success_timestamp_seconds": set(),
    "tfs_proxy_build_info": {"version", "python", "hot_path"},
    "tfs_proxy_workers": {"state"},
    "tfs_proxy_worker_restarts_total": {"worker"},
    "tfs_proxy_worker_connections": {"worker"},
    "tfs_proxy_worker_in_flight": {"worker"},
    "grpc_server_started_total": GRPC,
    "grpc_server_handled_total": GRPC | {"grpc_code"},
    "grpc_server_msg_received_total": GRPC,
    "grpc_server_msg_sent_total": GRPC,
    "grpc_server_handling_seconds": GRPC,
}


def test_every_published_metric_is_declared_with_its_labels_and_no_other_is():
    assert {name: set(declared.labels) for name, declared in METRICS.items()} == PUBLISHED


@pytest.mark.parametrize("declared", METRICS.values(), ids=lambda declared: declared.name)
def test_a_declaration_follows_the_conventions(declared):
    assert (declared.kind == "counter") == declared.name.endswith("_total")
    assert (declared.kind == "histogram") == bool(declared.buckets)
    assert list(declared.buckets) == sorted(declared.buckets)
    assert declared.help.endswith(".")
    if declared.kind == "histogram":
        assert declared.name.rsplit("_", 1)[1] in {"seconds", "bytes", "size"}


TOGETHER = {
    "tfs_proxy_recent_refusals": "sum",
    "tfs_proxy_recent_refusals_largest_client": "max",
    "tfs_proxy_capture_paused": "max",
    "tfs_proxy_certificate_expiry_timestamp_seconds": "min",
    "tfs_proxy_config_last_reload_successful": "min",
    "tfs_proxy_config_last_reload_success_timestamp_seconds": "max",
    "tfs_proxy_in_flight": "sum",
    "tfs_proxy_connections": "sum",
    "tfs_proxy_connections_limit": "sum",
    "tfs_proxy_upstream_calls": "sum",
    "tfs_proxy_upstream_calls_limit": "sum",
    "tfs_proxy_inflight_bytes": "sum",
    "tfs_proxy_inflight_bytes_limit": "sum",
    "tfs_proxy_upstream_up": "min",
    "tfs_proxy_model_version_state": "first",
    "tfs_proxy_upstream_backends": "max",
    "tfs_proxy_signature_age_seconds": "max",
    "tfs_proxy_build_info": "first",
    "tfs_proxy_workers": "sum",
    "tfs_proxy_worker_connections": "sum",
    "tfs_proxy_worker_in_flight": "sum",
}


def test_what_the_gauges_of_several_workers_are_together_is_said_of_each_and_counters_are_sums():
    gauges = {name: each.together for name, each in METRICS.items() if each.kind == "gauge"}
    assert gauges == TOGETHER
    assert {each.together for each in METRICS.values() if each.kind != "gauge"} == {"sum"}


def test_the_gauges_of_the_client_library_are_known_too():
    told = {
        family.name
        for family in Metrics(("1", "3.11", "interpreted")).registry.collect()
        if family.type == "gauge"
    }
    assert told - METRICS.keys() == FOREIGN.keys()


def test_the_codes_are_in_the_order_of_their_numbers():
    assert (len(CODES), CODES[0], CODES[3], CODES[14], CODES[16]) == (
        17,
        "OK",
        "InvalidArgument",
        "Unavailable",
        "Unauthenticated",
    )


def test_a_histogram_is_exposed_cumulatively():
    declared = METRICS["tfs_proxy_request_bytes"]
    histogram = Histogram(declared.buckets)
    histogram.observe(1)
    histogram.observe(2000)
    samples = {s.labels.get("le"): s.value for s in declared.family([((), histogram)]).samples}
    assert (samples["256.0"], samples["1024.0"], samples["4096.0"], samples["+Inf"]) == (1, 1, 2, 2)


@pytest.mark.parametrize("status", grpc.StatusCode)
def test_a_code_has_the_name_that_grpc_gives_it(status):
    assert status_name(status.value[0]) == status.name
