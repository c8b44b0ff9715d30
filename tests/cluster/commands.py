"""Commands as they stand in manifests, scripts and the README, and whether their programs take them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click

BETWEEN = {"|", "||", "&&", ";", "(", ")", "&"}
SHELL = {"cd", "exec", "export", "then", "while", "until", "do", "done", "return"}


def commands(text: str) -> Iterator[list[str]]:
    """The words of every simple command of a shell text; variables stand as 1, redirections are left out."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for inner in re.findall(r"\$\((?!\()([^()]*(?:\([^()]*\)[^()]*)*)\)", joined):
        yield from commands(inner)
    joined = re.sub(r"\$\{(\w+)[^}]*\}|\$\w+", "1", re.sub(r"\$\((?!\()[^()]*(?:\([^()]*\)[^()]*)*\)", "1", joined))
    for line in joined.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()<>")
        lexer.whitespace_split = True
        lexer.commenters = "#"
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word in BETWEEN:
                yield from _simple(words)
                words = []
            else:
                words.append(word)


def _simple(words: list[str]) -> Iterator[list[str]]:
    for place, word in enumerate(words):
        if set(word) <= set("<>&"):
            # A number before is the stream's.
            words = words[: place - 1 if words[place - 1].isdecimal() else place]
            break
    while words and (re.match(r"[A-Za-z_]+=", words[0]) or words[0] in SHELL):
        words = words[1:]
    if words and words[0] != "umask":
        yield words


def parse(group: click.Group, words: list[str]) -> None:
    """Parses a command line as the program would, and runs nothing.

    Raises:
        click.UsageError: the program would refuse it.
    """
    command: click.Command = group
    while isinstance(command, click.Group):
        if not words or words[0] not in command.commands:
            raise click.UsageError(f"no such command: {' '.join(words[:1])}")
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, list(words))
