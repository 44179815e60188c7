"""What is wrong with one call."""

from proxy.core.reasons import Reason
from tests.observe.ended import ended
from tests.observe.mistaken import PREDICT, call, violation


def test_what_is_fine_is_no_problem(problems):
    problems.call_ended(ended(PREDICT, model="m"))
    problems.call_ended(ended(PREDICT, model="m", code=5))
    assert problems.select() == []
    assert problems.revision == 0


def test_each_thing_that_is_wrong_with_a_call_counts_once(problems):
    problems.call_ended(call(violation(), violation('inputs["z"]'), violation()))
    assert {(each.field, each.count) for each in problems.select()} == {
        ('inputs["x"]', 1),
        ('inputs["z"]', 1),
    }


def test_the_servers_error_is_told_in_the_words_of_the_diagnosis(problems):
    problems.call_ended(
        call(refusal=None, code=14, diagnosis=Reason.UPSTREAM_RESET, text="the connection was lost")
    )
    (problem,) = problems.select()
    assert (problem.kind, problem.code, problem.got, problem.field) == (
        "upstream_error",
        "UNAVAILABLE",
        "the connection was lost",
        "",
    )


def test_what_would_be_refused_has_the_code_that_it_would_have_and_a_warning_has_none(problems):
    problems.call_ended(call(refusal=None, code=0, would_refuse=(violation(),)))
    problems.call_ended(call(refusal=None, code=0, warnings=(violation(),)))
    assert {each.kind: each.code for each in problems.select()} == {
        "would_refuse": "INVALID_ARGUMENT",
        "warning": "",
    }
    assert problems.select()[0].examples[0].text == "input 'x': expected rank 2 [?,3], got rank 1 [3]"
