from pathlib import Path

from tests.deploy.alert_rules import NAMES

NOT_PROVOKED = {
    "TfsProxyOverheadHigh",  # takes a machine that is too slow for the proxy
    "TfsProxyObserverFailures",  # takes a fault of the proxy
}
"""Only promtool sees these fire."""


def test_every_other_alert_fires_for_real_in_some_test():
    texts = [file.read_text() for file in Path(__file__).parent.glob("test_*_live.py")]
    text = "".join((*texts, (Path(__file__).parent / "conftest.py").read_text()))
    assert {name for name in NAMES if f'"{name}"' not in text} == NOT_PROVOKED
