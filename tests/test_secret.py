from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable

import pytest

from supaneon_sync.secret import Secret

CANARY = "canary-of-the-secret"


@pytest.mark.parametrize(
    "way_out",
    [
        str,
        "{}".format,
        lambda secret: f"{secret}",
        lambda secret: f"{secret:>5}",
        lambda secret: "%s" % secret,  # noqa: UP031 one more way out
        json.dumps,
        pickle.dumps,
        copy.deepcopy,
        "".join,
    ],
)
def test_a_secret_refuses_every_accidental_way_out(way_out: Callable[[Secret], object]) -> None:
    with pytest.raises(TypeError) as caught:
        way_out(Secret(CANARY))
    assert CANARY not in str(caught.value)


def test_a_secret_shows_itself_as_three_stars() -> None:
    assert repr(Secret(CANARY)) == "***"
    assert CANARY not in repr({"key": [Secret(CANARY)]})


def test_a_secret_is_handed_over_by_name_alone() -> None:
    assert Secret(CANARY).reveal() == CANARY
    assert not hasattr(Secret(CANARY), "__dict__")


def test_equal_values_make_equal_secrets_and_text_is_never_equal() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret("")
