"""Configuration texts are checked against their messages, at their place."""

import pytest
from google.protobuf import descriptor_pool

from proxy.wire.config_text import ConfigTextError, check_text, field_names, unquoted


def test_valid_texts_of_every_message_pass():
    check_text("ModelServerConfig", 'model_config_list { config { name: "a" } }')
    check_text("BatchingParameters", "max_batch_size { value: 3 } allowed_batch_sizes: [1, 3]")
    check_text("MonitoringConfig", 'prometheus_config { enable: true path: "/m" }')


@pytest.mark.parametrize(
    ("message", "text", "problem", "place"),
    [
        ("ModelServerConfig", "model_config_list {\n config { nme: 1 } }", 'no field named "nme"', (2, 11)),
        ("BatchingParameters", "max_batch_size: 3", 'Expected "{"', (1, 17)),
        ("BatchingParameters", "\nallowed_batch_sizes: x", "Couldn't parse integer", (2, 22)),
        ("MonitoringConfig", "prometheus_config { enable: 7 }", 'Expected "true" or "false"', (1, 29)),
    ],
)
def test_an_invalid_text_is_told_with_line_and_column(message, text, problem, place):
    with pytest.raises(ConfigTextError) as caught:
        check_text(message, text)
    assert problem in str(caught.value)
    assert not str(caught.value).startswith("'")
    assert (caught.value.line, caught.value.column) == place


def test_the_declared_messages_stay_out_of_the_pool_that_others_use():
    check_text("BatchingParameters", "")
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("tensorflow.serving.BatchingParameters")


def test_the_names_of_nested_fields_are_known_for_did_you_mean():
    assert {"max_batch_size", "value"} <= set(field_names("BatchingParameters"))
    assert {"config", "base_path", "num_versions"} <= set(field_names("ModelServerConfig"))


def test_a_literal_stands_for_its_text():
    assert unquoted(r'"a\tb\303\251"') == "a\tb\u00e9"
