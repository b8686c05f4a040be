"""Writes commands.md, the table of every command's arguments and options, from what `--help` knows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer

PAGE = Path(__file__).with_name("commands.md")
HEAD = """# Commands and options

Every command with all of its arguments and options, as `infodiscard COMMAND --help` prints them. What they are for,
with examples: [cli.md](cli.md). *This page is written by `python docs/commands.py`.*
"""


def page() -> str:
    """Returns the page."""
    from infodiscard.cli import app

    group: Any = typer.main.get_command(app)
    parts = [HEAD]
    for name, command in group.commands.items():
        parts.append(f"## `infodiscard {name}`\n\n{text(command.help)}\n")
        rows = [row(param) for param in command.params if not getattr(param, "hidden", False)]
        parts.append("\n".join(["| option | default | what it says |", "|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def row(param: Any) -> str:
    """Returns the row of an argument or option."""
    default = "needed" if param.required else shown(param)
    if not param.opts[0].startswith("-"):
        name = f"`{param.metavar or param.name.upper()}`{' …' * (param.nargs == -1)}"
        return f"| {name} | {default} | {text(param.help)} |"
    names = ", ".join(f"`{each}`" for each in [*param.opts, *param.secondary_opts])
    value = f" `{param.metavar}`" if param.metavar and not param.is_flag else ""
    return f"| {names}{value} | {default} | {text(param.help)} |"


def shown(param: Any) -> str:
    """Returns the default, where there is one to show."""
    value = param.default
    if isinstance(param.show_default, str):
        return param.show_default
    if value is None or callable(value) or value == () or param.show_default is False:
        return ""
    if getattr(param, "is_flag", False):
        return "on" if value else "off"
    return f"`{value}`"


def text(help: str | None) -> str:
    """Returns a help text as a cell: its first paragraph, on one line."""
    return re.sub(r"\s+", " ", (help or "").split("\n\n")[0]).strip().replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
