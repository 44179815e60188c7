"""Files of tokens as people write them, and what is said of those that are wrong."""

import hashlib

import pytest

from proxy.core.tokens import LEAST_LENGTH, TokensError, bearer, read_tokens

TOKEN = "0123456789abcdef"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()


@pytest.mark.parametrize(
    "line",
    [
        f"batch:{TOKEN}",
        f"  batch : {TOKEN}  ",
        f"batch:sha256:{DIGEST}",
        f"batch:sha256:{DIGEST.upper()}",
        f"# a comment\n\nbatch:{TOKEN}\n",
        f"batch:another-token-0000\nbatch:{TOKEN}\r\n",
    ],
)
def test_a_token_has_a_name(line):
    tokens = read_tokens(line)
    assert tokens.name_of(TOKEN.encode()) == "batch"
    assert tokens.name_of(TOKEN[:-1].encode()) is None
    assert tokens.name_of(b"") is None


def test_of_a_digest_the_digest_itself_opens_nothing():
    tokens = read_tokens(f"batch:sha256:{DIGEST}")
    assert tokens.name_of(DIGEST.encode()) is None
    assert tokens.name_of(f"sha256:{DIGEST}".encode()) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no token in it"),
        ("# nothing\n", "no token in it"),
        (TOKEN, "line 1: is not NAME:TOKEN"),
        (f":{TOKEN}", "line 1: is not NAME:TOKEN"),
        ("batch:", "line 1: is not NAME:TOKEN"),
        (f"batch:{TOKEN[:9]}", f"shorter than {LEAST_LENGTH} characters"),
        (f"batch:sha256:{DIGEST[:-1]}", "64 hexadecimal digits"),
        (f"batch:{TOKEN} {TOKEN}", "cannot stand behind Bearer"),
        (f"batch:{TOKEN}é", "cannot stand behind Bearer"),
        (f"{'n' * 101}:{TOKEN}", "longer than 100 characters"),
        (f"a\x1b[31m:{TOKEN}", "not printable"),
        ("".join(f"n{number}:{TOKEN}\n" for number in range(1001)), "more than 1000 tokens"),
    ],
)
def test_what_is_no_file_of_tokens_is_told_by_line_and_without_the_token(text, words):
    with pytest.raises(TokensError, match=words) as caught:
        read_tokens(text)
    assert TOKEN[:9] not in str(caught.value)
    assert str(caught.value).isprintable()


def test_all_that_is_wrong_is_told_at_once_and_no_more_than_a_person_reads():
    with pytest.raises(TokensError) as caught:
        read_tokens(f"a:{TOKEN}\n" + "b:short\n" * 30)
    assert all(f"line {number}:" in str(caught.value) for number in range(2, 12))
    assert str(caught.value).endswith("and 20 more")


@pytest.mark.parametrize(
    ("field", "token"),
    [
        (b"Bearer abc", b"abc"),
        (b"bearer abc", b"abc"),
        (b"BEARER   abc ", b"abc"),
        (b"Bearer ", b""),
        (b"Bearer", None),
        (b"Basic abc", None),
        (b"", None),
        (b"Bearerabc", None),
    ],
)
def test_the_scheme_is_told_in_any_case_and_the_token_in_its_own(field, token):
    assert bearer(field) == token
