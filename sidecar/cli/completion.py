"""`sidecar completion SHELL`: a script that completes commands and options.

    source <(sidecar completion bash)

Made from what `--help` says, so that it knows no less and no more.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

_OPTION = re.compile(r"--[a-z][a-z-]*")
SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `sidecar completion`."""
    parser.add_argument("shell", choices=SHELLS)


def script(shell: str, parsers: Mapping[str, argparse.ArgumentParser]) -> str:
    """Return the completion of the commands in ``parsers`` for ``shell``."""
    commands = {
        name: sorted(set(_OPTION.findall(parser.format_help()))) for name, parser in parsers.items()
    }
    if shell == "fish":
        return _fish(commands)
    prelude = "autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    return prelude + _bash(commands)


def _bash(commands: dict[str, list[str]]) -> str:
    cases = "\n".join(
        f'        {name}) words="{" ".join(options)}" ;;' for name, options in commands.items()
    )
    return f"""_sidecar() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{" ".join(commands)}" -- "$current"))
        return
    fi
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
    if [[ "$current" == -* ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$current"))
    else
        COMPREPLY=($(compgen -f -- "$current"))
    fi
}}
complete -o filenames -F _sidecar sidecar
"""


def _fish(commands: dict[str, list[str]]) -> str:
    lines = [f'complete -c sidecar -n __fish_use_subcommand -f -a "{" ".join(commands)}"']
    for name, options in commands.items():
        seen = f'-n "__fish_seen_subcommand_from {name}"'
        lines += [
            f"complete -c sidecar {seen} -l {option.removeprefix('--')}" for option in options
        ]
    return "\n".join(lines) + "\n"
