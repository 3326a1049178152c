from __future__ import annotations

import contextlib
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supaneon_sync import values
from supaneon_sync.errors import ConfigError
from supaneon_sync.secret import Secret
from supaneon_sync.setting import Setting
from supaneon_sync.settings import BY_NAME, INPUT_NAMES, SETTINGS, Loaded, Settings, load, of_verb
from supaneon_sync.values import parse_rate

URL = "postgresql://postgres.ref:canary-password@aws-0-eu.pooler.supabase.com:5432/postgres"
ENOUGH = {"SUPABASE_DATABASE_URL": URL, "NEON_API_KEY": "canary-key"}


def loaded(
    *verbs: str,
    flags: dict[str, object] | None = None,
    environment: dict[str, str] | None = None,
    file: dict[str, object] | None = None,
) -> Loaded:
    return load(
        verbs or ("backup",),
        flags=flags or {},
        environment=ENOUGH if environment is None else environment,
        file=file or {},
    )


def problems(
    *verbs: str,
    flags: dict[str, object] | None = None,
    environment: dict[str, str] | None = None,
    file: dict[str, object] | None = None,
) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(*verbs, flags=flags, environment=environment, file=file)
    text = str(caught.value) + " ".join(caught.value.problems)
    assert "canary" not in text
    return list(caught.value.problems)


def test_the_table_and_the_attributes_are_one() -> None:
    settings = Settings()
    for row in SETTINGS:
        assert getattr(settings, row.field) == row.default
        assert row.help
        assert row.help.endswith(".")
        assert row.verbs
        assert set(row.required) <= set(row.verbs)
        assert not (row.secret and row.default is not None)


def test_flag_beats_input_beats_environment_beats_file_beats_default() -> None:
    environment = {**ENOUGH, "INPUT_NEON-DATABASE": "of-input", "NEON_DATABASE": "of-environment"}
    flags, file = {"neon-database": "of-flag"}, {"neon-database": "of-file"}

    def database(**sources: object) -> tuple[str, str | None]:
        found = loaded("backup", **sources)  # type: ignore[arg-type]
        return found.settings.neon_database, found.origins.get("neon-database")

    assert database(flags=flags, environment=environment, file=file) == ("of-flag", "--neon-database")
    assert database(environment=environment, file=file) == ("of-input", "Input neon-database")
    del environment["INPUT_NEON-DATABASE"]
    assert database(environment=environment, file=file) == ("of-environment", "NEON_DATABASE")
    assert database(file=file) == ("of-file", "neon-database in the file")
    assert database() == ("neondb", None)


@pytest.mark.parametrize("empty", ["", "   ", "\n"])
def test_an_empty_string_is_not_given(empty: str) -> None:
    environment = {**ENOUGH, "INPUT_NEON-DATABASE": empty, "NEON_DATABASE": empty, "INPUT_JOBS": empty}
    found = loaded(environment=environment, file={"neon-database": "of-file"})
    assert found.settings.neon_database == "of-file"
    assert found.settings.jobs == 4


def test_false_and_zero_are_given() -> None:
    found = loaded(flags={"make-room": False}, file={"lock-wait": "0s"})
    assert found.settings.make_room is False
    assert found.settings.lock_wait == timedelta(0)


def test_everything_that_is_missing_is_named_at_once_with_its_remedy() -> None:
    found = problems("backup", environment={"INPUT_NEON-API-KEY": ""})
    assert len(found) == 2
    assert "SUPABASE_DATABASE_URL is missing: set the environment variable" in found[0]
    assert "the action's input neon-api-key" in found[1]


def test_what_is_missing_and_malformed_and_unknown_is_told_together() -> None:
    found = problems(
        "backup",
        flags={"jobs": "0"},
        environment={"SUPABASE_DATABASE_URL": "host canary-password"},
        file={"keep-dayly": 3, "lock-wait": "soon"},
    )
    assert len(found) == 5


def test_a_verb_needs_only_its_own_settings() -> None:
    assert loaded("resolve", environment={"NEON_API_KEY": "k"}).settings.supabase_database_url is None


def test_a_broken_setting_of_another_verb_does_not_stand_in_the_way() -> None:
    environment = {"NEON_API_KEY": "k", "SUPABASE_DATABASE_URL": "nonsense"}
    assert loaded("resolve", environment=environment).settings.neon_api_key == Secret("k")
    assert problems("backup", environment=environment)
    assert problems("config", environment=environment)


def test_a_sequence_needs_the_settings_of_each_of_its_verbs() -> None:
    assert problems("prune", "backup", environment={"NEON_API_KEY": "k"})
    assert loaded("prune", "list", environment={"NEON_API_KEY": "k"})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("jobs", "0", "one or more"),
        ("jobs", "four", "one or more"),
        ("jobs", "-1", "whole number, one or more"),
        ("jobs", "٣", "whole number, one or more"),
        ("jobs", True, "whole number, one or more"),
        ("jobs", 2.5, "whole number, one or more"),
        *(
            ("anomaly-tolerance", value, "a whole percentage from 1 to 100")
            for value in ("0", "0%", "101", "-5%", "half", "0.3", "30 percent", "٣", "1000", True, "5%%")
        ),
        ("on-anomaly", "ignore", "must be one of fail, warn"),
        ("anomaly-ignore", "queue", "each as schema.table"),
        ("lock-wait", "30", "such as 90s"),
        ("lock-wait", "1h soon", "such as 90s"),
        ("lock-wait", "999999w" * 200, "such as 90s"),
        ("make-room", "perhaps", "true or false"),
        ("time-zone", "Mars/Olympus", "a time zone"),
        ("time-zone", "../../etc/passwd", "a time zone"),
        ("neon-database", True, "text"),
        ("neon-database", "two\nlines", "one line"),
        ("neon-database", "bell\a", "one line"),
        ("report-file", "~nobody-of-that-name/x", "~user exists"),
        ("neon-api-host", "console.neon.tech", "URL such as"),
        ("neon-api-host", "http://console.neon.tech/api/v2", "https://"),
        ("neon-api-host", "https://key@console.neon.tech/api/v2", "URL such as"),
        ("neon-api-host", "https://[broken/api", "URL such as"),
        ("neon-api-host", "https://host:port/api", "URL such as"),
    ],
)
def test_a_malformed_value_is_refused_with_what_would_have_been_right(
    name: str, value: object, expected: str
) -> None:
    found = problems(*BY_NAME[name].verbs, file={name: value})
    assert len(found) == 1
    assert found[0].startswith(f"{name} in the file must")
    assert expected in found[0]


@pytest.mark.parametrize("name", ["yesterday", "backup-20260231T000000Z", "main", "backup-2026"])
def test_a_backup_is_named_exactly(name: str) -> None:
    assert "backup-20260131T020000Z" in problems("resolve", flags={"backup": name})[0]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://postgres:[YOUR-PASSWORD]@db.ref.supabase.co:5432/postgres",
        "https://canary.supabase.co",
        "canary-password",
        "postgresql://",
        "postgresql://u:canary\0@h/d",
        "postgresql://u:canary@h/d\nSECOND=line",
    ],
)
def test_a_connection_string_that_was_copied_wrong_is_refused_unseen(url: str) -> None:
    found = problems("backup", environment={**ENOUGH, "SUPABASE_DATABASE_URL": url})
    assert len(found) == 1
    assert found[0].startswith("SUPABASE_DATABASE_URL")


@pytest.mark.parametrize(
    "url", [URL, "postgres://u:p@h/d", "host=db.example port=5432 user=u password=p", f"  {URL}\n"]
)
def test_a_connection_string_that_libpq_knows_is_taken(url: str) -> None:
    found = loaded("backup", environment={**ENOUGH, "SUPABASE_DATABASE_URL": url})
    assert found.settings.supabase_database_url == Secret(url.strip())


def test_a_secret_that_went_into_another_setting_is_not_quoted() -> None:
    long = "canary-" + "x" * 60
    for value in (URL, long):
        assert "given" not in problems("backup", environment={**ENOUGH, "NEON_API_HOST": value})[0]


def test_a_loopback_api_may_speak_http() -> None:
    for host in ("http://127.0.0.1:8080/api/v2/", "http://localhost/api/v2", "http://[::1]:1/api/v2"):
        assert loaded(environment={**ENOUGH, "NEON_API_HOST": host}).settings.neon_api_host == host.rstrip(
            "/"
        )


def test_an_unknown_key_of_the_file_is_refused_with_the_nearest_name() -> None:
    assert "did you mean 'lock-wait'?" in problems(file={"lock_wiat": "30s"})[0]


def test_a_secret_in_the_file_is_refused_with_the_place_where_it_belongs() -> None:
    found = problems(file={"neon-api-key": "canary-key"})
    assert "NEON_API_KEY" in found[0]
    assert "replace the secret" in found[0]


def test_what_is_for_the_command_line_alone_is_refused_elsewhere() -> None:
    assert "command line alone" in problems(file={"yes": True})[0]
    assert loaded("prune", environment={**ENOUGH, "INPUT_YES": "true"}).settings.yes is False
    assert loaded("prune", flags={"yes": True}).settings.yes is True


def test_an_unknown_input_is_refused_in_an_action_and_ignored_elsewhere() -> None:
    environment = {**ENOUGH, "INPUT_NEON_PROJECT_ID": "p", "INPUT_ARGS": "", "INPUT_OPERATION": "backup"}
    assert loaded(environment=environment)
    found = problems(environment={**environment, "GITHUB_ACTIONS": "true"})
    assert found == ["neon_project_id is not an input of this action; did you mean 'neon-project-id'?"]


def test_inputs_are_the_settings_that_are_not_for_the_command_line_alone() -> None:
    assert "operation" in INPUT_NAMES
    assert "yes" not in INPUT_NAMES
    assert len(set(INPUT_NAMES)) == len(INPUT_NAMES)


def test_config_takes_every_setting() -> None:
    assert of_verb("config") == SETTINGS


@given(st.integers(min_value=0, max_value=999_999))
def test_a_duration_is_read_back_as_it_is_written(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert values.parse_duration(values.written(duration)) == duration


@given(st.text())
def test_a_parser_refuses_with_a_sentence_and_nothing_else(text: str) -> None:
    for row in SETTINGS:
        with contextlib.suppress(_Sentence):
            _parse(row, text)


class _Sentence(Exception):
    pass


def _parse(row: Setting, text: str) -> None:
    try:
        row.parse(text)
    except ValueError as error:
        if str(error).startswith(("must ", "still holds ")):
            raise _Sentence from error
        raise


@pytest.mark.parametrize("text", ["1d12h", "90m", "26h", "7d", "2w", " 30S "])
def test_a_duration_may_be_a_sum(text: str) -> None:
    assert values.parse_duration(text) > timedelta(0)


@pytest.mark.parametrize(("text", "number"), [("30%", 30), ("30", 30), (30, 30), (" 7 % ", 7), ("100%", 100)])
def test_a_percentage_may_have_its_sign(text: object, number: int) -> None:
    assert values.parse_percentage(text) == number


def test_values_are_shown_as_one_writes_them() -> None:
    shown = [values.written(value) for value in (True, None, timedelta(hours=26), Path("a"), Secret("s"), 4)]
    assert shown == ["true", "", "26h", "a", "***", "4"]


@pytest.mark.parametrize(
    ("text", "rate"),
    [("20MB/s", 20_000_000), ("512 KiB/s", 524_288), ("1.5G", 1_500_000_000), ("2000", 2000)],
)
def test_a_rate_is_bytes_a_second(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "20", "-5MB/s", "20MB/h", "1TB/s", "20 M B"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="bytes a second"):
        parse_rate(text)


@pytest.mark.parametrize("text", ["31d", "200000w", "-1s", "words"])
def test_no_proof_is_rested_on_for_more_than_a_month(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        values.parse_month(text)
    assert values.parse_month("30d") == timedelta(days=30)
