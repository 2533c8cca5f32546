"""RULES_FILE: rules that are added to the built-in ones, checked strictly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steps.kubernetes.fields import parse_path, written_path
from steps.kubernetes.objects import Unreadable, decoded, read_documents
from steps.kubernetes.spans import SpanReader
from steps.kubernetes.volatile import Rule, parse_volatile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from steps.kubernetes.fields import Path

_MAX_BYTES = 1024 * 1024

_KEYS = ("kinds", "drop", "keep", "labels", "omit", "secret")


class InvalidRules(ValueError):
    """The file is not a list of rules; ``str`` names the rule and its line."""


def parse_rules(content: bytes) -> tuple[Rule, ...]:
    """Return the rules of a file. Raises InvalidRules."""
    try:
        text = decoded(content, _MAX_BYTES)
        reader = SpanReader(text)
        documents = read_documents(text, reader)
    except Unreadable as problem:
        raise InvalidRules(
            f"the file {problem}" if str(problem)[:3] != "not" else f"it is {problem}"
        ) from None
    if not any(document is not None for document in documents):
        return ()
    if len(documents) != 1 or not isinstance(documents[0], list):
        raise InvalidRules('the file must be one list of rules: - kinds: ["*"]')
    items = documents[0]
    starts = [entry.value_start for entry in reader.spans[id(items)].entries]
    rules: list[Rule] = []
    for number, (item, start) in enumerate(zip(items, starts, strict=True), 1):
        try:
            rules.append(_rule(item))
        except ValueError as problem:
            line = text.count("\n", 0, start) + 1
            raise InvalidRules(f"rule {number} (line {line}): {problem}") from None
    return tuple(rules)


def _rule(item: Any) -> Rule:
    if not isinstance(item, dict):
        raise ValueError("a rule is a mapping with the key kinds")  # noqa: TRY004 - a wrong file
    if unknown := [key for key in item if key not in _KEYS]:
        raise ValueError(f"unknown key {unknown[0]!r}; the keys are {', '.join(_KEYS)}")
    if not item.get("kinds"):
        raise ValueError('kinds is missing: write a list such as ["Pod", "Lease.coordination.k8s.io"]')
    labels = item.get("labels", {})
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise ValueError("labels must be a mapping of names to globs")
    omit = item.get("omit")
    if "omit" in item and not isinstance(omit, bool):
        raise ValueError("omit must be true or false")
    rule = Rule(
        _texts(item, "kinds"),
        _paths(item, "drop", parse_volatile),
        _paths(item, "keep", parse_path),
        tuple(labels.items()),
        omit,
        _paths(item, "secret", parse_volatile),
    )
    if omit is None and not rule.drop and not rule.keep and not rule.secret:
        raise ValueError("the rule changes nothing: it has none of drop, keep, omit and secret")
    if rule.secret and rule.labels:
        raise ValueError("secret cannot depend on labels: write another rule")
    return rule


def _texts(item: dict[str, Any], key: str) -> tuple[str, ...]:
    values = item.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
        raise ValueError(f"{key} must be a list of texts")
    return tuple(values)


def _paths(item: dict[str, Any], key: str, parse: Callable[[str], Path]) -> tuple[Path, ...]:
    return tuple(parse(written) for written in _texts(item, key))


def written_rules(rules: Iterable[Rule]) -> str:
    """Write rules as a file that ``parse_rules`` reads."""
    lines: list[str] = []
    for rule in rules:
        lines.append(f"- kinds: {_flow(rule.kinds)}")
        for key, paths in (("drop", rule.drop), ("keep", rule.keep), ("secret", rule.secret)):
            if paths:
                lines.append(f"  {key}:")
                lines += [f"  - {_quoted(written_path(path))}" for path in paths]
        if rule.labels:
            lines.append("  labels:")
            lines += [f"    {_quoted(key)}: {_quoted(glob)}" for key, glob in rule.labels]
        if rule.omit is not None:
            lines.append(f"  omit: {str(rule.omit).lower()}")
    return "\n".join([*lines, ""])


def _flow(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"


def _quoted(text: str) -> str:
    """Write a text in double quotes, unless it is a plain word."""
    if text.replace(".", "").replace("/", "").replace("-", "").isalnum() and text[0].isalpha():
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
