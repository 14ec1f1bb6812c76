"""Groups of commands that suggest the nearest command for one that they do not have."""

import difflib
from collections.abc import Callable
from typing import Any

import click


class Commands(click.Group):
    """The commands of one noun."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        return resolved(super().resolve_command, self, ctx, args)


def resolved(resolve: Callable[..., Any], group: click.Group, ctx: click.Context, args: list[str]) -> Any:
    """What ``resolve`` finds for ``args``; its error says which command may have been meant."""
    try:
        return resolve(ctx, args)
    except click.UsageError as error:
        near = difflib.get_close_matches(args[0], group.list_commands(ctx), n=1, cutoff=0.5) if args else []
        if not near or "did you mean" in error.message.lower():
            raise
        raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from error
