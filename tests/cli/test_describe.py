"""`tfs-proxy describe` shows the signatures that requests are judged by."""

import json

import pytest


def table_of(output: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in output.splitlines() if "|" in line]


def test_a_signature_is_a_table_of_its_tensors(run, dev_server):
    result = run("describe", "two", "--upstream", dev_server.target)
    assert result.exit_code == 0, result.output
    assert f"two version 1 at {dev_server.target}" in result.output
    assert "serving_default  tensorflow/serving/predict" in result.output
    rows = table_of(result.output)
    assert rows[0] == ["", "alias", "dtype", "shape", "graph name"]
    assert ["input", "ids", "int64", "[?,4]", "serving_default_ids:0"] in rows
    assert ["input", "text", "string", "[?]", "serving_default_text:0"] in rows
    assert [row[1] for row in rows if row[0] == "output"] == ["ids_out", "lens", "sum", "text_out"]


def test_every_signature_of_a_model_is_shown(run, models_dir):
    result = run("describe", "--path", models_dir / "twosig")
    assert result.exit_code == 0
    assert "\nsig_a  " in result.output
    assert "\nsig_b  " in result.output
    assert "__saved_model_init_op" not in result.output


def test_a_version_can_be_asked_for(run, dev_server):
    latest, first = (
        json.loads(run("describe", "multi", "--upstream", dev_server.target, "--json", *more).output)
        for more in ([], ["--version", "1"])
    )
    assert (latest["version"], first["version"]) == (3, 1)


def test_unknown_ranks_scalars_and_any_sizes_are_told_apart(run, models_dir):
    shapes = {
        model: json.loads(run("describe", "--path", models_dir / model, "--json").output)["signatures"][
            "serving_default"
        ]["inputs"]
        for model in ("unk", "scalar", "two")
    }
    assert shapes["unk"]["x"]["shape"] is None
    assert [spec["shape"] for spec in shapes["scalar"].values()] == [[]]
    assert shapes["two"]["ids"] == {
        "dtype": "int64",
        "shape": [-1, 4],
        "graph_name": "serving_default_ids:0",
        "optional": False,
    }


def test_server_and_saved_model_say_the_same(run, dev_server, models_dir):
    live, on_disk = (
        json.loads(run("describe", "ssd", "--json", *where).output)
        for where in (["--upstream", dev_server.target], ["--path", models_dir / "ssd"])
    )
    assert live == on_disk


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["Ssd"], "expected a model that the server has, got 'Ssd'"),
        (["multi", "--version", "2"], "expected version 3 or 1, got version 2"),
        (["multi", "--label", "stable"], "got label 'stable'"),
        (["corrupt"], "failed to load, the server says"),
    ],
)
def test_what_the_server_does_not_have_is_a_finding(run, dev_server, arguments, problem):
    result = run("describe", *arguments, "--upstream", dev_server.target)
    assert result.exit_code == 1
    assert problem in result.output


def test_inputs_that_belong_together_are_named(run, models_dir):
    ragged = run("describe", "--path", models_dir / "nested").output
    assert "'words' is ragged: values 'words', row splits 'words_1', 'words_2'" in ragged
    sparse = run("describe", "--path", models_dir / "sparse").output
    assert "'features' is sparse: indices 'features', values 'features_1', dense shape 'features_2'" in sparse
    assert "ragged" not in run("describe", "--path", models_dir / "two").output


def test_a_configured_name_is_suggested(run, dev_server, tmp_path):
    config = tmp_path / "proxy.yaml"
    config.write_text("models: {ssd: {mode: observe}}\n")
    result = run("describe", "Ssd", "--upstream", dev_server.target, "--config", config)
    assert "did you mean 'ssd'?" in result.output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "which model?"),
        (["m", "--version", "1", "--label", "x"], "--version and --label"),
        (["m", "--version", "x"], "not a valid integer"),
        (["--path", "/nowhere"], "no SavedModel in /nowhere"),
        (["m", "--upstream", "http://localhost:8500"], "must not have a scheme"),
    ],
)
def test_wrong_usage_is_told_apart_from_findings(run, arguments, problem):
    result = run("describe", *arguments)
    assert result.exit_code == 2
    assert problem in result.output


def test_an_unreachable_server_is_no_finding(run, nobody):
    result = run("describe", "m", "--upstream", nobody)
    assert result.exit_code == 2
    assert f"no answer from {nobody}" in result.output
