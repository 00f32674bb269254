"""Flags that override a configuration, as in `--m2_training.batch_size 64`."""

import dataclasses
import difflib
import math
import types
import typing

#: Words for the values that are not numbers.
WORDS = {"true": True, "false": False}
NONE = "none"


def take_overrides(words, config_class):
    """Take the flags that name fields of a configuration out of a command.

    Such a flag has a dot, or the name of a field that is no section.

    Args:
        words: A list of str, the arguments of the command.
        config_class: The dataclass of the configuration.

    Returns:
        A pair: dict from paths such as `"m2.position"` to values (str), and the
        other words, a list.

    Raises:
        ValueError: If a flag has no value, or more than one.
    """
    fields = {field.name for field in dataclasses.fields(config_class)}
    overrides, others = {}, []
    words = list(words)
    while words:
        word = words.pop(0)
        path, equals, value = word.removeprefix("--").partition("=")
        is_flag = word.startswith("--") and path
        if not is_flag or ("." not in path and path not in fields):
            others.append(word)
            continue
        values = [value] if equals else []
        while words and not words[0].startswith("--"):
            values.append(words.pop(0))
        if len(values) != 1:
            raise ValueError(
                f"--{path} takes one value. Received: "
                f"{' '.join(values) or 'none'}. See --help."
            )
        overrides[path] = values[0]
    return overrides, others


def apply_overrides(config, overrides):
    """Return a configuration with other values.

    Args:
        config: A dataclass whose fields are values or dataclasses of values.
        overrides: dict from paths to values, as `take_overrides` returns it.

    Returns:
        A new configuration.

    Raises:
        ValueError: If there is no such field, or a value does not fit it.
    """
    for path, text in overrides.items():
        section, dot, name = path.partition(".")
        _check_name(config, section, f"--{path}")
        part = getattr(config, section)
        if not dataclasses.is_dataclass(part):
            if dot:
                raise ValueError(
                    f"--{section} has no fields. Received: --{path}. Leave "
                    f"out .{name}"
                )
            value = read_value(config, section, text, path)
        else:
            if dot:
                _check_name(part, name, f"--{path}", f"{section}.")
            else:
                raise ValueError(
                    f"--{section} is a section of the configuration. Received: "
                    f"--{section} {text}. Choose "
                    f"{_list(_names(part), f'--{section}.')}"
                )
            new = read_value(part, name, text, path)
            value = dataclasses.replace(part, **{name: new})
        config = dataclasses.replace(config, **{section: value})
    return config


def read_value(part, name, text, path):
    """Return the value of a field that a text stands for.

    Args:
        part: A dataclass.
        name: str, one of its fields.
        text: str.
        path: str, the flag without dashes, for errors.

    Returns:
        A value of the field's type.

    Raises:
        ValueError: If the text stands for none.
    """
    (field,) = (f for f in dataclasses.fields(part) if f.name == name)
    kind = typing.get_type_hints(type(part))[name]
    optional = isinstance(kind, types.UnionType)
    if optional:
        (kind,) = (k for k in typing.get_args(kind) if k is not types.NoneType)
        if text.lower() == NONE:
            return None
    choices = field.metadata.get("choices")
    least = field.metadata.get("least", 1)
    try:
        value = WORDS[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        fits = False
    else:
        fits = {
            int: lambda: value >= least,
            float: lambda: math.isfinite(value) and value >= 0,
        }.get(kind, lambda: True)()
    if fits and (choices is None or value in choices):
        return value
    if choices is None:
        rule = {
            int: f"an integer of at least {least}",
            float: "a finite number, not negative",
            bool: "true or false",
            str: "text",
        }[kind]
    else:
        rule = f"one of {', '.join(map(str, choices))}"
    raise ValueError(
        f"--{path} must be {rule}{f', or {NONE}' if optional else ''}. "
        f"Received: {text}"
    )


def describe_fields(config_class):
    """Return text for `--help`: the fields of all sections."""
    values, sections = [], []
    hints = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        kind = hints[field.name]
        if dataclasses.is_dataclass(kind):
            names = ", ".join(f.name for f in dataclasses.fields(kind))
            sections.append((field.name, names))
        else:
            values.append(field.name)
    return [*sections, ("", ", ".join(values))]


def _check_name(part, name, flag, prefix=""):
    """Raise a ValueError that names the fields unless `name` is one."""
    names = _names(part)
    if name in names:
        return
    close = difflib.get_close_matches(name, names, 1)
    hint = f"Did you mean --{prefix}{close[0]}? " if close else ""
    raise ValueError(
        f"The configuration has no such field. Received: {flag}. {hint}Choose "
        f"{_list(names, f'--{prefix}')}"
    )


def _names(part):
    return [field.name for field in dataclasses.fields(part)]


def _list(names, prefix):
    return ", ".join(f"{prefix}{name}" for name in names)
