"""``python -m headrace_controller.cli.reference``: the command line reference, ``docs/cli.md``, made from the commands."""

import sys
from collections.abc import Iterator

import click

from headrace_controller.cli.entrypoint import COMMANDS, front

_HEAD = """# Command line

`headrace <noun> <verb>`: results go to standard output and progress to standard error; every command that reads has `--json`.
Exit codes: 0 success, 1 failure (the error says what to do next), 2 wrong usage, 3 a version that is not good enough (`evaluate`, `deliver`).

Every command finds its platform by `--url`, else `HEADRACE_URL`, else the platform that is up on the home (`--home`, else
`HEADRACE_HOME`, else `~/.headrace`). `headrace --context NAME [--namespace NAMESPACE] …` (or `HEADRACE_CONTEXT`) is a platform in
the cluster of that kubeconfig context, asked through the Kubernetes API with your own rights. `headrace config` shows which one that is. MODEL:NUMBER may also be a bare model
(its newest released version) or MODEL@ALIAS, but for deleting.

This page is made by `python -m headrace_controller.cli.reference > docs/cli.md`; a test compares them.
"""


def reference() -> str:
    """The page as Markdown."""
    index = "\n".join(f"| [`{name}`](#headrace-{name}) | {text} |" for name, (_, _, text) in COMMANDS.items())
    return "\n".join(
        [_HEAD, "| command | |\n|---|---|\n" + index, *_sections(front, click.Context(front, info_name="headrace"))]
    )


def _sections(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        yield _section(command, inner, level=2 if context.parent is None else 3)
        if isinstance(command, click.Group):
            yield from _sections(command, inner)


def _section(command: click.Command, context: click.Context, level: int) -> str:
    lines = [f"\n{'#' * level} {context.command_path}\n", _paragraphs(command.help or "")]
    if not isinstance(command, click.Group) or command.invoke_without_command:
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        lines.append(f"\n```\n{usage}\n```")
        records = [p.get_help_record(context) for p in command.params]
        rows = [f"| `{r[0]}` | {r[1]} |" for r in records if r is not None]
        if rows:
            lines.append("\n| option | |\n|---|---|\n" + "\n".join(row.replace("|ALIAS", "\\|ALIAS") for row in rows))
    return "\n".join(lines)


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


if __name__ == "__main__":
    sys.stdout.write(reference() + "\n")
