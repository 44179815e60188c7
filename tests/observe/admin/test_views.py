import base64
import hashlib
import re
from dataclasses import replace

from proxy.observe.admin.views import STYLE_HASH, Check, ModelListing, Sources, page, readiness_text

NOTHING = Sources(lambda: (), lambda: (), lambda: ())


def test_a_condition_is_one_line_with_its_sign_and_what_is_seen():
    assert (
        readiness_text([Check("a", ok=True), Check("b", ok=False, text="gone")])
        == "[+]a ok\n[-]b failed: gone"
    )


def test_what_a_server_says_stays_on_its_line_and_steers_no_terminal():
    text = readiness_text([Check("model/m", ok=False, text="gone\n[+]model/m ok \x1b[2J\x9b31m\u202e")])
    assert text == r"[-]model/m failed: gone\n[+]model/m ok \x1b[2J\x9b31m\u202e"


def test_a_name_that_is_no_unicode_is_shown_all_the_same():
    assert r"a\udc9bb" in page("1", replace(NOTHING, models=lambda: [ModelListing("a\udc9bb")])).decode()


def test_a_page_with_nothing_to_show_says_so():
    text = page("1.2.3", NOTHING).decode()
    assert "tfs-proxy 1.2.3" in text
    assert text.count("<p>none</p>") == 3


def test_the_style_is_the_one_that_the_policy_allows():
    style = re.search(r"<style>(.*?)</style>", page("1", NOTHING).decode(), re.DOTALL).group(1)
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() == STYLE_HASH.removeprefix(
        "sha256-"
    )
