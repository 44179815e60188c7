"""When the outputs of a model are suspicious."""

import pytest

from proxy.core.outputs import FEWEST_DISTINCT, OutputFacts, OutputKind, Run, judge_outputs


def kinds(answers):
    """What is found in each answer, given in turn."""
    run, found = Run(), []
    for facts in answers:
        run = run.followed_by(facts)
        found.append([finding.kind for finding in judge_outputs(facts, run)])
    return found


def answer(inputs, outputs="same", *, measures=True):
    return OutputFacts(str(inputs).encode(), outputs.encode(), measures=measures)


def test_one_answer_to_many_different_inputs_is_found_once_they_are_enough():
    found = kinds(map(answer, range(FEWEST_DISTINCT + 2)))
    assert found == [[]] * (FEWEST_DISTINCT - 1) + [[OutputKind.IDENTICAL]] * 3


def test_the_same_input_again_and_again_is_no_finding():
    assert not any(kinds(answer(number % (FEWEST_DISTINCT - 1)) for number in range(50)))


def test_another_answer_in_between_begins_anew():
    outputs = ["same"] * (FEWEST_DISTINCT - 1) + ["other"] + ["same"] * (FEWEST_DISTINCT - 1)
    assert not any(kinds(answer(number, output) for number, output in enumerate(outputs)))


def test_labels_and_counts_may_repeat_themselves():
    assert not any(kinds(answer(number, measures=False) for number in range(50)))


def test_what_is_remembered_stays_small():
    run = Run()
    for number in range(1000):
        run = run.followed_by(answer(number))
    assert len(run.inputs) == FEWEST_DISTINCT


@pytest.mark.parametrize(
    ("inputs", "words"),
    [((), "though the inputs are finite"), (("x",), "in input 'x': mend the client")],
)
def test_a_nan_is_found_and_the_text_says_on_whose_side(inputs, words):
    facts = OutputFacts(b"i", b"o", not_finite=("y", "z"), inputs_not_finite=inputs)
    (finding,) = judge_outputs(facts, Run().followed_by(facts))
    assert finding.kind is OutputKind.NOT_FINITE
    assert "NaN or infinity in output 'y', 'z'" in finding.text
    assert words in finding.text


def test_hundreds_of_names_do_not_fill_the_log():
    facts = OutputFacts(b"i", b"o", not_finite=tuple(f"output_{number}" for number in range(300)))
    assert "'output_4' and 295 more" in judge_outputs(facts, Run())[0].text
