from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from supaneon_sync.redaction import SHORTEST, Redactor, forms, passwords_in

PASSWORD = 'p%/@:"ß\\ss'


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://user:{quote(PASSWORD, safe='')}@host:5432/db?sslmode=require",
        f"postgresql://user:{PASSWORD}@host:5432/db",
        f"postgresql://host/db?user=u&password={quote(PASSWORD, safe='')}",
        "host=h user=u password='" + PASSWORD.replace("\\", "\\\\") + "' dbname=d",
    ],
)
def test_the_password_inside_a_connection_string_is_found(text: str) -> None:
    assert PASSWORD in passwords_in(text)


def test_text_without_a_password_gives_none() -> None:
    for text in ("", "host=h user=u", "postgresql://user@host/db", "postgresql://host/db", "a@b"):
        assert passwords_in(text) == ()


@given(st.text(min_size=SHORTEST, max_size=30))
def test_a_known_secret_shows_in_no_form(secret: str) -> None:
    assume(len(secret.strip()) >= SHORTEST)
    redactor = Redactor()
    redactor.add(secret)
    for shown in (secret, quote(secret, safe=""), json.dumps(secret), json.dumps(secret, ensure_ascii=False)):
        hidden = redactor.hide(f"before {shown} after")
        assert secret not in hidden.replace("before ", "").replace(" after", "") or secret in "***"


def test_every_line_of_a_secret_is_hidden_alone() -> None:
    redactor = Redactor()
    redactor.add("first line\nsecond line")
    assert redactor.hide("x second line y") == "x *** y"


def test_the_longest_secret_wins() -> None:
    redactor = Redactor()
    redactor.add("canary")
    redactor.add("canary-and-more")
    assert redactor.hide("canary-and-more canary") == "*** ***"


def test_short_values_are_not_looked_for_and_empty_ones_are_none() -> None:
    redactor = Redactor()
    assert redactor.add("") == ()
    assert redactor.add(" \n ") == ()
    redactor.add("abc")
    assert redactor.hide("abcdef") == "abcdef"
    assert forms("") == ()


def test_a_document_is_hidden_inside_its_strings_and_stays_a_document() -> None:
    redactor = Redactor()
    redactor.add("12345678")
    document = {"12345678": ["a 12345678", 12345678, None, True, {"x": "12345678"}]}
    assert redactor.hide_in(document) == {"***": ["a ***", 12345678, None, True, {"x": "***"}]}


def test_the_forms_of_a_connection_string_hold_its_password_decoded_and_encoded() -> None:
    found = forms("postgresql://u:p%2Fw%40rd@host/db")
    assert {"p%2Fw%40rd", "p/w@rd", "p%2fw%40rd"} <= set(found)
