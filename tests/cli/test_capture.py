"""`tfs-proxy capture`: what it asks for before it starts. What it records: tests/capture/test_live.py."""

import pytest


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--out", "new"], "say with --model which one model"),
        (["--out", "new", "--model", "a", "--model", "b"], "say with --model which one model"),
        (["--model", "m"], "Missing option '--out'"),
        (["--model", "m", "--out", "there"], "there exists"),
        (["--model", "m", "--out", "no/where"], "no is not a folder"),
        (["--model", "m", "--out", "new", "--sample", "150%"], "is not a share above 0"),
        (["--model", "m", "--out", "new", "--records", "1001"], "1<=x<=1000"),
        (["--model", "m", "--out", "new", "--max-bytes", "-1"], "captures need a limit"),
    ],
)
def test_wrong_usage_is_a_sentence(run, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").touch()
    result = run("capture", *arguments)
    assert result.exit_code == 2
    assert sentence in result.output


def test_the_help_warns_of_what_the_file_holds(run):
    assert "tensor values" in run("capture", "--help").output
    assert "tensor values" in run("serve", "--help").output
