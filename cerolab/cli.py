"""Command lines whose every setting can also stand in a YAML or TOML file."""

import errno
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from cyclopts.config import Dict, Toml, Yaml
from rich.console import Console

from cerolab import __version__
from cerolab.errors import CerolabError, InvalidValueError, UnknownNameError

Tokens = Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]
_NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)  # full, over quota, closed to us
Config = Annotated[Path | None, Parameter(help="YAML or TOML file with settings by their long names.")]
Preset = Annotated[str | None, Parameter(help="Settings that go together; options given beside it come first.")]
Quick = Annotated[bool, Parameter(negative="", help="A small run, seconds.")]


def launch(
    run: Callable[..., Any],
    name: str,
    help_text: str,
    quick_preset: Mapping[str, Any] | None = None,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Parse the command line and call ``run``.

    The first source that has a setting wins: the command line, ``--config FILE``, the preset, the defaults. An error
    of cerolab, or a disk that takes no more, is printed as one message, exit status 1; Ctrl-C says how to go on, exit
    status 130, and so does SIGTERM, exit status 143.

    Args:
        run: takes its settings as keyword arguments or as one flattened dataclass.
        name: of the command, e.g. ``python -m sim.regret_sweep``.
        help_text: first lines of ``--help``.
        quick_preset: settings of the flag ``--quick``; without them there is no such flag.
        presets: settings by name of ``--preset``; without them there is no such option.
    """
    text = "\n\n".join(" ".join(part.split()) for part in help_text.split("\n\n"))
    app = App(name=name, help=text, version=__version__, help_format="plaintext", result_action="return_value")
    for one in (app, app.meta):
        one.suppress_keyboard_interrupt = False  # what to do after Ctrl-C is said below
    app.default(run)
    app.default_parameter = Parameter(consume_multiple=True, negative_iterable=())

    def start(tokens: tuple[str, ...], config: Path | None, preset: Mapping[str, Any] | None) -> None:
        sources: list[Any] = [] if config is None else [_file(config)]
        if preset is not None:
            sources.append(Dict(dict(preset), source="the preset"))
        app.config = tuple(sources)
        app(tokens)

    def plain(*tokens: Tokens, config: Config = None) -> None:
        start(tokens, config, None)

    def with_quick(*tokens: Tokens, config: Config = None, quick: Quick = False) -> None:
        start(tokens, config, quick_preset if quick else None)

    def with_presets(*tokens: Tokens, config: Config = None, preset: Preset = None) -> None:
        known = presets or {}
        if preset is not None and preset not in known:
            raise UnknownNameError("preset", preset, known)
        start(tokens, config, None if preset is None else known[preset])

    app.meta.default(with_presets if presets else plain if quick_preset is None else with_quick)
    console = Console(stderr=True)
    try:
        with _stopped_by_sigterm():
            app.meta()
    except CerolabError as error:
        console.print(f"[bold red]error:[/] {_escaped(error)}", soft_wrap=True)
        sys.exit(1)
    except OSError as error:
        if error.errno not in _NO_PLACE:
            raise
        where = error.filename or "a file"
        console.print(
            f"[bold red]error:[/] {_escaped(where)}: {error.strerror}; make room or the place writable, then give the "
            "same command again",
            soft_wrap=True,
        )
        sys.exit(1)
    except KeyboardInterrupt as stop:
        console.print("stopped; start the same command again to go on where it was")
        sys.exit(128 + (signal.SIGTERM if isinstance(stop, _Terminated) else signal.SIGINT))


class _Terminated(KeyboardInterrupt):
    """SIGTERM, as batch systems and containers send it before they kill."""


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Within it SIGTERM unwinds the command as Ctrl-C does; a second one ends it where it is."""

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise _Terminated

    ours = threading.current_thread() is threading.main_thread()
    ours = ours and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # else someone else has decided
    if ours:
        signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _file(path: Path) -> Yaml | Toml:
    kinds: dict[str, type[Yaml] | type[Toml]] = {".yaml": Yaml, ".yml": Yaml, ".toml": Toml}
    if path.suffix not in kinds:
        raise UnknownNameError("kind of settings file", path.suffix, kinds)
    source = kinds[path.suffix](path, must_exist=True, use_commands_as_keys=False)
    try:
        loaded = source.config
    except FileNotFoundError:
        raise InvalidValueError("config", str(path), "does not exist", "give a YAML or TOML file") from None
    except CycloptsError as error:
        raise InvalidValueError("config", str(path), f"cannot be read: {error.msg}", "mend the file") from None
    if not isinstance(loaded, dict):
        raise InvalidValueError("config", str(path), "holds no settings", "write lines like 'seeds: 10'")
    return source


def _escaped(error: object) -> str:
    return str(error).replace("[", r"\[")
