"""The demonstration's requests are data: told apart, built afresh, and of every kind of mistake."""

from proxy.core.reasons import REASONS
from proxy.demo.requests import GOOD, SAMPLES


def test_every_request_has_a_title_of_its_own():
    assert len({sample.title for sample in SAMPLES}) == len(SAMPLES)


def test_a_request_is_built_alike_every_time():
    for sample in SAMPLES:
        assert sample.build() == sample.build()


def test_the_mistakes_are_of_every_family_that_a_client_can_get_wrong():
    families = {REASONS[each].family for sample in SAMPLES if (each := sample.reason or sample.warning)}
    assert families >= {"alias", "signature", "tensor", "payload", "batch", "model"}


def test_good_requests_come_first():
    assert SAMPLES[: len(GOOD)] == GOOD
    assert all(sample.reason is None and sample.warning is None for sample in GOOD)
