"""Command lines whose every setting can also stand in a YAML or TOML file."""

from __future__ import annotations

import codecs
import errno
import signal
import sys
import threading
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args

from cyclopts import App, CycloptsError, Parameter, Token, convert
from cyclopts.argument import ArgumentCollection
from cyclopts.config import Dict
from pydantic import ValidationError
from rich.console import Console

from cerolab import __version__
from cerolab.errors import CerolabError, InvalidValueError, UnknownNameError
from cerolab.tools.plain_yaml import read_yaml
from cerolab.tools.settings import CommandLineOnly, checked, refusal

Tokens = Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]
Config = Annotated[Path | None, Parameter(help="YAML or TOML file with settings by their long names.")]
Preset = Annotated[str | None, Parameter(help="Settings that go together; options given beside it come first.")]
Quick = Annotated[bool, Parameter(negative="", help="A small run, seconds.")]
_NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)  # full, over quota, closed to us
_NO_PATHS = {"true", "false", "yes", "no", "on", "off", "none", "null"}  # each would become a folder of that name
_LONGEST_FILE = 100_000  # bytes of a settings file
_LONGEST_MESSAGE = 1500  # characters
_PLAIN_SIGNS = {
    "\u2212": "-",
    "\u2013": "-",
    "±": "+-",
    "\u00d7": "x",
    "·": "*",
    "≤": "<=",
    "≥": ">=",
    "…": "...",
    "†": "(*)",
    "λ": "lambda",
    "\u00a0": " ",
}


def launch(
    run: Callable[..., Any],
    name: str,
    help_text: str,
    quick_preset: Mapping[str, Any] | None = None,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Parse the command line and call ``run``.

    The first source that has a setting wins: the command line, ``--config FILE``, the preset, the defaults. What is
    wrong with the settings, or with a file or the disk, is printed as one message, exit status 1; Ctrl-C says how to go
    on, exit status 130, and so does SIGTERM, exit status 143.

    Args:
        run: takes its settings as keyword arguments or as flattened dataclasses; see ``cerolab.tools.settings``.
        name: of the command, e.g. ``python -m sim.regret_sweep``.
        help_text: first lines of ``--help``.
        quick_preset: settings of the flag ``--quick``; without them there is no such flag.
        presets: settings by name of ``--preset``; without them there is no such option.
    """
    text = "\n\n".join(" ".join(part.split()) for part in help_text.split("\n\n"))
    app = App(name=name, help=text, version=__version__, help_format="plaintext", result_action="return_value")
    for one in (app, app.meta):
        one.suppress_keyboard_interrupt = False  # what to do after Ctrl-C is said below
        one.exit_on_error = one.print_error = False
    app.default(checked(run))
    app.default_parameter = Parameter(consume_multiple=True, negative_iterable=(), converter=_converted)

    switches = {"config", "preset" if presets else "quick" if quick_preset is not None else "config"}

    def start(tokens: tuple[str, ...], config: Path | None, preset: Mapping[str, Any] | None) -> None:
        sources: list[Any] = []
        if config is not None:
            sources += [_file(config, switches), _NotFromFiles(config)]
        if preset is not None:
            sources.append(Dict(dict(preset), source="the preset"))
        app.config = (*sources, _one_name_deep)
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
    with says_errors():
        app.meta()


def start(app: App) -> NoReturn:
    """Run a small command, one without settings files, and exit with the status that it returns; errors as above."""
    app.exit_on_error = app.print_error = False
    app.default_parameter = Parameter.combine(app.default_parameter, Parameter(converter=_converted))
    with says_errors():
        sys.exit(app(result_action="return_value"))


@contextmanager
def says_errors() -> Iterator[None]:
    """Wrong settings, files or disks end in a line and exit status 1; Ctrl-C in 130, SIGTERM in 143."""
    _any_terminal()
    try:
        with _stopped_by_sigterm():
            yield
    except CerolabError as error:
        _end(str(error))
    except CycloptsError as error:
        _end(_in_our_words(error))
    except BrokenPipeError:  # what reads us has enough, e.g. head
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        if error.filename is None and error.errno not in _NO_PLACE:
            raise
        remedy = "; make room or the place writable, then give the same command again"
        _end(f"{error.filename or 'a file'}: {error.strerror}{remedy if error.errno in _NO_PLACE else ''}")
    except MemoryError as error:
        _end(f"out of memory: {error or 'no more to be had'}; give smaller sizes, or fewer --workers")
    except KeyboardInterrupt as stop:
        Console(stderr=True).print("stopped; start the same command again to go on where it was")
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


def _in_our_words(error: CycloptsError) -> str:
    cause, argument = error.__cause__, error.argument
    if isinstance(cause, ValidationError) and argument is not None:
        return str(refusal(argument.field_info.name, argument.value, argument.field_info.annotation, cause))
    if isinstance(cause, InvalidValueError) and argument is not None:
        return str(InvalidValueError(argument.field_info.name, cause.value, cause.problem, cause.remedy))
    name = "" if argument is None or argument.name in str(error) else f"{argument.name}: "
    return f"{name}{error}"


def _end(message: str) -> None:
    line = " ".join(message.split())
    line = (line if len(line) < _LONGEST_MESSAGE else f"{line[:_LONGEST_MESSAGE]} ...").replace("[", r"\[")
    Console(stderr=True).print(f"[bold red]error:[/] {line}", soft_wrap=True)
    sys.exit(1)


def _any_terminal() -> None:
    """Signs that the terminal's encoding lacks are written in plain letters, not refused when all runs are done."""

    def plainly(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        return "".join(_PLAIN_SIGNS.get(sign, "?") for sign in error.object[error.start : error.end]), error.end

    codecs.register_error("plainly", plainly)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="plainly")


def _converted(hint: Any, tokens: Sequence[str]) -> Any:
    """A value of that type from text, never rounded; Cyclopts itself takes 2.6 for 3."""
    for token in tokens if Path in (hint, *get_args(hint)) else ():
        text: str = getattr(token, "value", token)  # Cyclopts says texts, and gives what it has parsed
        if text.strip().lower() in _NO_PATHS:
            remedy = f"give a path, or leave an option out for its default; one of that name is {Path(text).absolute()}"
            raise InvalidValueError("", text, "is a word for yes, no or nothing, not a path", remedy)
    return convert(hint, tokens, converter=_leaf)


def _leaf(hint: Any, text: str) -> Any:
    if hint not in (int, float):
        return convert(hint, [text])
    for number in (int, float)[hint is float :]:
        with suppress(ValueError):
            return number(text)
    return text  # for the settings to refuse, which know what would be right


class _NotFromFiles:
    """Refuses settings that ``CommandLineOnly`` marks, where a settings file has them."""

    def __init__(self, path: Path):
        self._source = str(path)

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        for argument in arguments:
            notes = get_args(argument.field_info.annotation)[1:]
            for note in (note for note in notes if isinstance(note, CommandLineOnly)):
                for token in (token for token in argument.tokens if token.source == self._source):
                    self._check(argument.name, note, token)

    def _check(self, option: str, note: CommandLineOnly, token: Token) -> None:
        if note.names and token.value.lstrip().startswith(("{", "[")):  # Cyclopts would read it as JSON
            problem, remedy = f"holds {option[2:]} as text", "write its settings in lines of their own"
            raise InvalidValueError("config", self._source, problem, remedy)
        keys = [key.lower().replace("-", "_") for key in token.keys]
        if not note.names or set(keys) & set(note.names):
            full = ".".join([option, *token.keys])
            problem = f"holds {full[2:]}, which can run code or reach other machines"
            raise InvalidValueError("config", self._source, problem, f"give {full} on the command line if you trust it")


def _one_name_deep(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Refuses settings within settings of a mapping, of whose options none is a mapping itself: --trl.a.b 1."""
    options = {argument.name for argument in arguments}
    for argument in arguments:
        for token in (token for token in argument.tokens if len(token.keys) > 1):
            outer, inner = f"{argument.name}.{token.keys[0]}", f"--{'.'.join(token.keys)}"
            remedy = f"give {inner}" if f"--{token.keys[0]}" in options else f"give {outer} a value"
            field = ".".join([argument.name[2:], *token.keys])
            raise InvalidValueError(field, token.value, "is a setting within a setting", remedy)


def _names_only(loaded: Any) -> bool:
    """Whether all keys are texts, also those further down."""
    if isinstance(loaded, dict):
        return all(isinstance(key, str) and _names_only(value) for key, value in loaded.items())
    return all(map(_names_only, loaded)) if isinstance(loaded, list) else True


def _file(path: Path, switches: Collection[str]) -> Dict:
    """The settings of a file; ``switches`` are options of the command line that no file has.

    Raises:
        InvalidValueError, UnknownNameError: no file that can be read, or none with settings.
    """
    kinds: dict[str, Callable[[str], Any]] = {".yaml": read_yaml, ".yml": read_yaml, ".toml": tomllib.loads}
    if path.suffix not in kinds:
        raise UnknownNameError("kind of settings file", path.suffix, kinds)
    try:
        if path.stat().st_size > _LONGEST_FILE:
            raise InvalidValueError("config", str(path), f"is longer than {_LONGEST_FILE:,} bytes", "give settings")
        loaded = kinds[path.suffix](path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidValueError("config", str(path), "does not exist", "give a YAML or TOML file") from None
    except OSError as error:
        raise InvalidValueError("config", str(path), f"cannot be read: {error.strerror}", "give a file") from None
    except (ValueError, RecursionError) as error:
        raise InvalidValueError("config", str(path), f"cannot be read: {error}", "mend the file") from None
    if not isinstance(loaded, dict) or not _names_only(loaded):
        raise InvalidValueError("config", str(path), "holds no settings", "write lines like 'seeds: 10'")
    for key, value in loaded.items():
        if isinstance(value, list) and any(isinstance(one, list | dict) for one in value):
            raise InvalidValueError("config", str(path), f"has a list in the list {key}", "write one list of values")
        if key.lstrip("-") in switches:
            raise InvalidValueError("config", str(path), f"holds {key}", f"give --{key} on the command line")
    return Dict(loaded, source=str(path), use_commands_as_keys=False)
