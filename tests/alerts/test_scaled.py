import pytest
import yaml

from tests.alerts.scaled import scaled
from tests.deploy.alert_rules import FILES, FOLDER


def test_ranges_and_durations_are_shorter_and_nothing_else_is_touched():
    text = """
      - record: job:calls:rate2m
        expr: rate(calls_total[2m]) > 0.1 and time() - expiry < 14 * 86400
        for: 1h
    """
    assert scaled(text, 60) == text.replace("[2m]", "[2000ms]").replace("for: 1h", "for: 60000ms")


@pytest.mark.parametrize("file", FILES)
def test_as_many_rules_come_out_and_each_is_as_long_as_it_says(file):
    text = (FOLDER / file).read_text()
    before, after = (
        [rule for group in yaml.safe_load(each)["groups"] for rule in group["rules"]]
        for each in (text, scaled(text))
    )
    assert len(before) == len(after)
    for one, other in zip(before, after, strict=True):
        assert ("for" in one) == ("for" in other)
        assert one["expr"].count("[") == other["expr"].count("ms]")
