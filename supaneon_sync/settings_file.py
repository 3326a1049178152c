"""The settings file: one flat YAML mapping, read without running anything and without quoting it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path

import yaml

from supaneon_sync.errors import ConfigError
from supaneon_sync.settings import BY_NAME, DEFAULT_FILE


class _Repeated(yaml.YAMLError):
    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which takes the last of two equal keys in silence; this one refuses."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            if isinstance(key_node.value, str) and key_node.value in seen:
                raise _Repeated(key_node.start_mark.line + 1)
            if isinstance(key_node.value, str):
                seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def read(chosen: Path | None, directory: Path) -> Mapping[str, object]:
    """Return the settings of the chosen file, else of the default file if ``directory`` has one.

    Raises ConfigError that names file and line, and never quotes the file: it may hold a secret that
    somebody put there by mistake.
    """
    path = directory / (chosen or DEFAULT_FILE)
    if chosen is None and not path.exists():
        return {}
    shown = chosen or DEFAULT_FILE
    try:
        document = yaml.load(path.read_text(encoding="utf-8-sig"), _Loader)  # noqa: S506 a safe loader
    except OSError as error:
        raise ConfigError(
            f"The settings file {shown} cannot be read: {error.strerror}.",
            remedy="Name another one with --config (the action: input config), or leave it out.",
        ) from None
    except (yaml.YAMLError, UnicodeError, ValueError, RecursionError) as error:
        raise ConfigError(f"The settings file {shown} {_wrong(error)}", remedy=_SHAPE) from None
    if document is None:
        return {}
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise ConfigError(f"The settings file {shown} is not a list of names and values.", remedy=_SHAPE)
    _refuse_nested(document, shown)
    return document


_SHAPE = "Write one setting a line, such as `max-age: 26h`."


def _wrong(error: Exception) -> str:
    if isinstance(error, _Repeated):
        return f"gives a setting twice (line {error.line})."
    mark = getattr(error, "problem_mark", None)
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
    return f"is not valid YAML{where}."


def _refuse_nested(document: Mapping[str, object], shown: Path) -> None:
    nested = [
        key
        for key, value in document.items()
        if isinstance(value, (dict, list, set)) and not (key in BY_NAME and BY_NAME[key].file_only)
    ]
    if nested:
        names = ", ".join(name if len(name) <= 40 else "a long key" for name in nested)
        raise ConfigError(
            f"The settings file {shown} gives a list or a mapping where one value belongs: {names}.",
            remedy=_SHAPE,
        )
