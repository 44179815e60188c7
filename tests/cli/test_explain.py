"""`tfs-proxy explain` says of every reason and every failure what it means and what to do."""

import re

import pytest

from proxy.cli.explain import failures
from proxy.core.reasons import REASONS
from proxy.lint.finding import RULES


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_is_explained_with_remedy_example_and_failures(run, reason):
    result = run("explain", reason)
    about = REASONS[reason]
    assert result.exit_code == 0
    assert result.output.startswith(f"{reason}\n{about.meaning.replace('`', '')}\n")
    assert f"- Remedy: {about.remedy.replace('`', '')}\n" in result.output
    assert f"Status code: {about.code.name}" in result.output
    assert re.search(r"^For example \(.+\):\n\n\S", result.output, re.MULTILINE)
    for number in about.failures:
        assert f"    {number}: {failures()[number].met}\n" in result.output
    assert "`" not in result.output
    assert "##" not in result.output


@pytest.mark.parametrize("number", failures())
def test_a_failure_is_explained_with_the_remedy_of_each_reason_and_rule_that_it_names(run, number):
    result = run("explain", number)
    failure = failures()[number]
    assert result.exit_code == 0
    assert result.output.startswith(f"{number}: {failure.met}\ntfs-proxy says: {failure.told}\n")
    for name in re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", failure.told):
        if name in REASONS:
            assert f"\n{name}: {REASONS[name].meaning} {REASONS[name].remedy}\n" in result.output
    for name in re.findall(r"lint ([a-z-]+[a-z])", failure.told):
        if name in RULES:
            assert f"\nlint {name}: {RULES[name].remedy}\n" in result.output


def test_without_a_topic_all_are_listed_a_line_each(run):
    lines = run("explain").output.splitlines()
    for name, text in [(each, about.meaning) for each, about in REASONS.items()] + [
        (number, failure.met) for number, failure in failures().items()
    ]:
        assert any(name in line and text in line for line in lines), name


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("shape_mismatch", "SHAPE_MISMATCH"),
        ("Shape-Mismatch", "SHAPE_MISMATCH"),
        ("f4", "F04"),
        ("F004", "F04"),
    ],
)
def test_case_dashes_and_leading_zeros_do_not_matter(run, written, meant):
    assert run("explain", written).output == run("explain", meant).output


@pytest.mark.parametrize(
    ("unknown", "hint"),
    [
        ("RANK_MISMACH", "did you mean RANK_MISMATCH?"),
        ("F1040", "did you mean F104?"),
        ("zzz", "`tfs-proxy explain` lists them all"),
        ("\x1b[31m", "`tfs-proxy explain` lists them all"),
        ("", "`tfs-proxy explain` lists them all"),
    ],
)
def test_an_unknown_one_gets_a_suggestion_and_exit_code_2(run, unknown, hint):
    result = run("explain", unknown)
    assert result.exit_code == 2
    assert hint in result.output
    assert "\x1b" not in result.output
