"""What is installed is what was pinned, under licences that were looked at."""

import importlib.metadata
import re

import pytest

from tests.supply.__main__ import PIP_AUDIT
from tests.supply.locks import LOCKS, REQUIREMENTS, ROOT, SHIPPED, licence, pinned, unhashed

NOTICE_ONLY = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "MIT", "PSF-2.0", "Zlib"),
    *("Apache 2.0", "Apache Software License", "BSD License", "3-Clause BSD License", "MIT License"),
    "Python Software Foundation License",
}
"""As SPDX names them, and as older metadata does."""


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash_and_no_lock_names_an_index(lock):
    assert not unhashed(lock)
    assert pinned(lock)
    text = (REQUIREMENTS / lock).read_text()
    assert not re.search(r"https?://|file:|--(extra-)?index-url|--find-links", text)


def test_what_is_tested_is_what_was_pinned():
    found = {name: importlib.metadata.version(name) for name in pinned("dev.lock")}
    assert found == pinned("dev.lock")


@pytest.mark.parametrize("name", sorted({*pinned(SHIPPED), "tensorflow"}))
def test_what_is_shipped_asks_for_no_more_than_notice(name):
    terms = re.split(r" (?:AND|OR|or) ", re.sub(r"[()]", "", licence(name)))
    assert set(terms) <= NOTICE_ONLY


def test_ci_asks_for_advisories_as_the_suite_does():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert f"pipx run {PIP_AUDIT} --disable-pip --no-deps -r requirements/{SHIPPED}" in workflow
