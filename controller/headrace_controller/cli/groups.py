"""Groups of commands that suggest the nearest command for one that they do not have."""

import difflib
from collections.abc import Callable
from typing import Any

import click

_SENTENCE = 1000
"""Characters that the first sentence of a command's help may have."""


class Commands(click.Group):
    """The commands of one noun."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        return resolved(super().resolve_command, self, ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The whole first sentence of each command, which click cuts short."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        lines = [(name, c.get_short_help_str(_SENTENCE)) for name, c in found if c is not None and not c.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(lines)


def resolved(resolve: Callable[..., Any], group: click.Group, ctx: click.Context, args: list[str]) -> Any:
    """What ``resolve`` finds for ``args``; its error says which command may have been meant."""
    try:
        return resolve(ctx, args)
    except click.UsageError as error:
        near = difflib.get_close_matches(args[0], group.list_commands(ctx), n=1, cutoff=0.5) if args else []
        if not near or "did you mean" in error.message.lower():
            raise
        raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from error
