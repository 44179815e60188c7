import pytest
from multidict import CIMultiDict

from proxy.observe.admin.origins import from_own_page


@pytest.mark.parametrize(
    "fields",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
        {"Origin": "http://10.0.0.7:8601", "Host": "10.0.0.7:8601"},
        {"Origin": "https://Proxy.example", "Host": "proxy.example"},
    ],
)
def test_a_form_of_our_own_page_is_known(fields):
    assert from_own_page(CIMultiDict(fields))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"Host": "localhost:8601"},
        {"Origin": "null", "Host": "localhost:8601"},
        {"Origin": "", "Host": ""},
        {"Origin": "http://attacker.example", "Host": "localhost:8601"},
        {"Origin": "http://localhost:9000", "Host": "localhost:8601"},
        {"Origin": "http://localhost:8601.attacker.example", "Host": "localhost:8601"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost:8601", "Host": "localhost:8601"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_what_comes_from_elsewhere_or_does_not_say_is_refused(fields):
    assert not from_own_page(CIMultiDict(fields))
