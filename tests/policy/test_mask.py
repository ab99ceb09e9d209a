"""Known secrets are masked in each of their forms, and nothing else is touched."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.policy.mask import SecretMask
from assay.policy.tripwire import Tripwire, known_secrets

KEY = "sk-+/A b7!xyz§90"
MASK = SecretMask({"THE_KEY": KEY, "OTHER": "o" * 12})
RAW = KEY.encode()
FORMS = {
    "as it is": KEY,
    "hex": RAW.hex().upper(),
    "for a URL": quote(KEY, safe=""),
    "every byte for a URL": "".join(f"%{byte:02X}" for byte in RAW),
    "base64 for a URL": quote(base64.b64encode(b"." + RAW).decode(), safe=""),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_masked_and_what_is_around_it_stays(form: str) -> None:
    clean = MASK.text(f"<before>{FORMS[form]}<after>")
    assert "[secret THE_KEY]" in clean
    assert (clean.startswith("<before>"), clean.endswith("<after>")) == (True, True)
    assert not Tripwire([KEY]).found_in_text(clean)


@given(st.binary(max_size=30), st.binary(max_size=30), st.integers(1, 80))
def test_base64_wherever_it_starts_and_breaks(before: bytes, after: bytes, width: int) -> None:
    data = base64.b64encode(before + RAW + after).decode()
    clean = MASK.text("\n".join(data[at : at + width] for at in range(0, len(data), width)))
    assert "[secret THE_KEY]" in clean
    assert not Tripwire([KEY]).found_in_text(clean)


def test_a_form_that_is_found_and_not_matched_takes_the_whole_text_with_it() -> None:
    assert MASK.text("x " + quote(quote(KEY, safe=""), safe="")) == "[left out: it holds secret THE_KEY]"
    assert MASK.text("x " + "".join(f"%{byte:02x}" for byte in RAW.hex().encode())) == "x [secret THE_KEY]"
    assert MASK.text("x " + "\n ".join("o" * 12) + " y") == "x [secret OTHER] y"


@given(st.text())
def test_other_text_is_the_same_object(text: str) -> None:
    assert MASK.text(text) is text
    assert SecretMask({}).text(text) is text


def test_names_of_authors_and_short_values_are_no_secrets() -> None:
    environ = {"GIT_AUTHOR_NAME": "a" * 12, "API_KEY": "k" * 12, "MY_TOKEN": "short", "PLAIN": "p" * 12}
    assert known_secrets(environ, ["PLAIN"]) == {"API_KEY": "k" * 12, "PLAIN": "p" * 12}
