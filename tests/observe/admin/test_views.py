from proxy.observe.admin.views import Check, readiness_text


def test_a_condition_is_one_line_with_its_sign_and_what_is_seen():
    assert (
        readiness_text([Check("a", ok=True), Check("b", ok=False, text="gone")])
        == "[+]a ok\n[-]b failed: gone"
    )


def test_what_a_server_says_stays_on_its_line_and_steers_no_terminal():
    text = readiness_text([Check("model/m", ok=False, text="gone\n[+]model/m ok \x1b[2J\x9b31m\u202e")])
    assert text == r"[-]model/m failed: gone\n[+]model/m ok \x1b[2J\x9b31m\u202e"
