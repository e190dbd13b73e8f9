"""`devtls completion SHELL`: the script by which a shell completes commands, options and routes.

Owns nothing of the completion itself: the script asks `devtls` with click's own protocol at each Tab.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion of devtls for a shell.

    \b
    bash   eval "$(devtls completion bash)"       in ~/.bashrc (bash 4.4 or newer)
    zsh    eval "$(devtls completion zsh)"        in ~/.zshrc, after compinit
    fish   devtls completion fish > ~/.config/fish/completions/devtls.fish
    """  # noqa: D301 - click reads the backspace itself
    kind = get_completion_class(shell)
    if kind is None:
        raise LookupError(f"click has no completion for {shell}")
    click.echo(kind(ctx.find_root().command, {}, "devtls", "_DEVTLS_COMPLETE").source())
