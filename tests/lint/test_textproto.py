"""The reader of text format keeps places and refuses what is not text format."""

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.config import model_server_config_pb2

from proxy.lint.textproto import read_text
from proxy.wire.config_text import ConfigTextError


def test_fields_carry_their_line_and_column():
    root = read_text('a: 1\n  b {\n    c: "x" # note\n  }\n')
    (b,) = root.all("b")
    assert b.at == (2, 3)
    assert b.first("c").at == (3, 5)
    assert b.value("c") == "x"


@pytest.mark.parametrize(
    "text",
    [
        "b { c: 1 }",
        "b: { c: 1 }",
        "b < c: 1 >",
        "b: [{ c: 1 }]",
        "b [{ c: 1 }]",
        "b { c: [1] };",
        "b { c: [1], }",
    ],
)
def test_every_way_to_write_a_message_reads_alike(text):
    assert read_text(text).first("b").value("c") == "1"


def test_strings_join_and_lose_their_escapes():
    assert read_text(r"""a: "x\n" 'y\'' """).value("a") == "x\ny'"


def test_a_list_gives_each_value_its_own_place():
    sizes = list(read_text("a: [8, 16,\n 32]").all("a"))
    assert [each.text for each in sizes] == ["8", "16", "32"]
    assert [each.at for each in sizes] == [(1, 5), (1, 8), (2, 2)]


def test_an_any_is_a_field_named_by_its_type():
    root = read_text("[type.googleapis.com/a.B-c] { d: -1.5e-3 }")
    assert root.first("type.googleapis.com/a.B-c").value("d") == "-1.5e-3"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [("a: {", 1, 5), ("a: 1 }", 1, 6), ("a: \n %", 2, 2), ("a 1", 1, 3), ("a: 'x", 1, 4), ("a: [1 2]", 1, 7)],
)
def test_what_is_not_text_format_is_refused_at_its_place(text, line, column):
    with pytest.raises(ConfigTextError) as caught:
        read_text(text)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize("text", [r"a: '\x'", r"a: '\u12'", r"a: 'b' '\U0'"])
def test_an_escape_that_stands_for_nothing_is_refused_at_its_place(text):
    with pytest.raises(ConfigTextError, match="escape") as caught:
        read_text(text)
    assert (caught.value.line, caught.value.column) == (1, text.rindex(" ") + 2)


def test_messages_that_nest_without_end_are_refused():
    with pytest.raises(ConfigTextError, match="too deep"):
        read_text("a {" * 5000)


names = st.text(min_size=1, max_size=20)


@given(st.lists(st.tuples(names, names, st.lists(st.integers(0, 2**40), max_size=3)), max_size=5))
def test_what_protobuf_writes_is_read_back_unchanged(models):
    config = model_server_config_pb2.ModelServerConfig()
    for name, path, versions in models:
        model = config.model_config_list.config.add(name=name, base_path=path)
        model.model_version_policy.specific.versions.extend(versions)
    for as_one_line in (True, False):
        root = read_text(text_format.MessageToString(config, as_one_line=as_one_line))
        listed = [model for each in root.all("model_config_list") for model in each.all("config")]
        assert [(each.value("name"), each.value("base_path")) for each in listed] == [m[:2] for m in models]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        ("-7", -7),
        ("0x1F", 31),
        ("017", 15),
        ("0", 0),
        ("x", None),
        ("1.5", None),
        ("0x" + 400 * "f", None),
    ],
)
def test_numbers_read_as_protobuf_reads_them(text, number):
    assert read_text(f"a: {text}").first("a").number == number


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_at_a_place_within_it(text):
    place = (1, 1)
    try:
        read_text(text)
    except ConfigTextError as error:
        place = (error.line, error.column)
    assert 1 <= place[0] <= text.count("\n") + 1
    assert 1 <= place[1] <= len(text) + 1
