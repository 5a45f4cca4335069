"""The reference of the command line, written from the commands themselves. Pure.

``python -m rheostat_server.cli.reference`` prints it: that is docs/reference/cli.md.
"""

from collections.abc import Iterator

import click

from rheostat_server.cli.main import rheostat

_OPENING = """\
# The command line

<!-- Written by `make docs` from the commands; a test compares. -->

`rheostat` is installed beside the server, in `.venv/bin`. It talks to the admin API of a running server; `serve`,
`demo`, `validate`, `ramp simulate`, `token reset` and `profile` need none.

## Common options

Every command takes them, before its name or after it; the innermost counts.

| Option | Variable | Meaning | Default |
|---|---|---|---|
| `-p`, `--project` | `RHEOSTAT_PROJECT` | project | `default` |
| `-e`, `--environment` | `RHEOSTAT_ENVIRONMENT` | environment | `production` |
| `--url` | `RHEOSTAT_URL` | the server | `http://127.0.0.1:8080` |
| `--token` | `RHEOSTAT_TOKEN` | API token | |
| `--profile` | `RHEOSTAT_PROFILE` | profile, see below | the current one |
| `--json` | | print JSON: the server's answer as it came, and nothing else on standard output | |

What the command line says comes first, then a profile named by `--profile`, then the variables, then the current
profile.

Exit codes: 0 done; 1 refused or failed, with the reason and what to do on standard error; 2 the command line is wrong;
130 interrupted. `promote` has codes of its own. `ramp watch` exits with 1 when the ramp was killed or aborted. Into a
pipe, tables have one line a row and no colours. Times are in UTC.

## Profiles

`~/.config/rheostat/profiles.json` (or `$XDG_CONFIG_HOME/rheostat/profiles.json`), readable by its owner alone: it
holds tokens.

    rheostat profile set staging --url https://flags.example.com --token rht_… -e staging
    rheostat --profile staging flag list
    rheostat profile use staging            # from now on without --profile

```json
{
  "current": "staging",
  "profiles": {"staging": {"url": "https://flags.example.com", "token": "rht_…", "environment": "staging"}}
}
```
"""
_COMMON = frozenset({"project", "environment", "url", "token", "profile", "as_json", "help"})


def reference() -> str:
    """Return the page."""
    return "\n".join([_OPENING, *_group(rheostat, "rheostat")]).rstrip() + "\n"


def _group(group: click.Group, path: str) -> Iterator[str]:
    single = {name: command for name, command in group.commands.items() if not isinstance(command, click.Group)}
    groups = {name: command for name, command in group.commands.items() if isinstance(command, click.Group)}
    for name in sorted(groups):
        yield f"## `{path} {name}`\n\n{_text(groups[name])}\n"
        yield from _group(groups[name], f"{path} {name}")
    if groups and single:
        yield "## Other commands\n"
    for name in sorted(single):
        yield from _command(single[name], f"{path} {name}")


def _command(command: click.Command, path: str) -> Iterator[str]:
    arguments = " ".join(_argument(one) for one in command.params if isinstance(one, click.Argument))
    yield f"### `{' '.join([path, arguments]).strip()}`\n\n{_text(command)}\n"
    # `profile set` has options of its own by these names: there they are what is kept.
    common = frozenset({"help"}) if path.endswith("profile set") else _COMMON
    options = [one for one in command.params if isinstance(one, click.Option) and one.name not in common]
    if options:
        yield "\n".join(f"- {_option(one)}" for one in options) + "\n"


def _argument(argument: click.Argument) -> str:
    name = (argument.metavar or argument.name or "").upper()
    name += "…" if argument.nargs == -1 else ""
    return name if argument.required else f"[{name}]"


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    if isinstance(option.type, click.Choice):
        names += f" ({', '.join(option.type.choices)})"
    words = [names + ":", option.help or ""]
    if option.show_default and option.default is not None:
        words.append(f"Default `{option.default}`.")
    if option.envvar:
        words.append(f"Variable `{option.envvar}`.")
    if option.required:
        words.append("Required.")
    return " ".join(word for word in words if word)


def _text(command: click.Command) -> str:
    paragraphs = (command.help or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


if __name__ == "__main__":
    click.echo(reference(), nl=False)
