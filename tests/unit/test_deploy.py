"""What README, compose file and Dockerfile name is there: files, commands, options, variables."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from hipopt import settings
from hipopt.cli.main import COMMANDS, cli
from hipopt.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
SETTINGS_KEYS = set(Settings.__struct_fields__)
VARIABLES = {settings.ENV_PREFIX + key.upper() for key in SETTINGS_KEYS} | {"HIPOPT_CONFIG"}
SERVICE_KEYS = {
    "build", "command", "depends_on", "environment", "healthcheck", "image", "ports", "restart",
    "stop_grace_period", "volumes",
}  # fmt: skip
"""Those that the file uses; all are in the Compose specification."""

BLOCKS = [line[4:] for line in README.splitlines() if line.startswith("    ")]
INLINE = re.findall(r"`([^`\n]+)`", README)
SHOWN = sorted({line for line in [*BLOCKS, *INLINE] if line.startswith(("hipopt ", "make "))})


def parse(words: list[str]) -> None:
    """`hipopt` knows the command and the options, or this raises click's UsageError."""
    assert words[0] == "hipopt"
    assert words[1] in COMMANDS, words[1]
    with click.Context(cli) as context:
        command = cli.get_command(context, words[1])
        assert command is not None
        command.make_parser(click.Context(command, context)).parse_args(words[2:])


def test_options_that_are_not_there_are_told() -> None:
    """The check that the tests below rely on does refuse an unknown option."""
    with pytest.raises(click.NoSuchOption):
        parse(["hipopt", "dispatch", "--shrads", "8"])


@pytest.mark.parametrize("line", SHOWN)
def test_commands_of_the_readme_exist(line: str) -> None:
    """Every hipopt and make command that the README shows can be typed as it stands."""
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
        assert set(words[1:]) <= set(targets)
    else:
        parse(words)


def test_the_readme_shows_every_way_to_start() -> None:
    """What is read out of the README is not nothing: all commands of a spread run are there."""
    shown = {tuple(shlex.split(line, comments=True)[:2]) for line in SHOWN}
    assert shown >= {("hipopt", name) for name in COMMANDS}


def test_paths_of_the_readme_exist() -> None:
    """Every link into the repository, and every path of its folders in code, leads somewhere."""
    links = [p for p in re.findall(r"\]\(([^)#\s]+)\)", README) if "://" not in p]
    folders = "|".join(p.name for p in ROOT.iterdir() if p.is_dir() and p.name[0] != ".")
    named = re.findall(rf"(?<![\w./])(?:{folders})/[\w./-]+\w", README)
    assert links
    assert named
    assert [p for p in {*links, *named} if not (ROOT / p).exists()] == []


def test_variables_of_the_readme_are_settings() -> None:
    """A HIPOPT_ variable that the README names is one that hipopt reads."""
    assert set(re.findall(r"\bHIPOPT_[A-Z_]+\b", README)) <= VARIABLES


def test_the_example_settings_load() -> None:
    """Every key of deploy/hipopt.toml is a setting, with a value that it takes."""
    path = ROOT / "deploy" / "hipopt.toml"
    loaded = settings.load({}, {}, path)
    for key, value in tomllib.loads(path.read_text()).items():
        assert str(getattr(loaded, key)) == str(value)


def test_compose_has_the_form_of_the_specification() -> None:
    """Only keys of the specification; images or builds; every volume and dependency declared."""
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"name", "services", "volumes"}
    for name, service in SERVICES.items():
        assert set(service) <= SERVICE_KEYS, name
        assert ("image" in service) != ("build" in service), name
        for needed, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert SERVICES[needed]["healthcheck"]["test"][0] == "CMD"
        for volume in service.get("volumes", []):
            source, target = volume.split(":")
            assert source.startswith("./") or source in COMPOSE["volumes"], volume
            assert target.startswith("/")
        assert all(isinstance(v, str) for v in service.get("environment", {}).values())


@pytest.mark.parametrize("name", OURS)
def test_compose_starts_real_commands(name: str) -> None:
    """A service of ours is a hipopt command with options that it has."""
    parse(OURS[name]["command"])


@pytest.mark.parametrize("name", OURS)
def test_compose_sets_real_variables(name: str) -> None:
    """A HIPOPT_ variable of a service is a setting; the files it names lie on its volumes."""
    environ = OURS[name]["environment"]
    assert {key for key in environ if key.startswith("HIPOPT_")} <= VARIABLES
    if name in ("collector", "dispatcher"):
        mounts = [volume.split(":")[1] for volume in OURS[name]["volumes"]]
        assert str(Path(environ["HIPOPT_LOG"]).parent) in mounts


def test_compose_says_what_it_must_be_told() -> None:
    """Every variable without which it doesn't start stands in the comment on top."""
    top = COMPOSE_TEXT[: COMPOSE_TEXT.index("\nname:")]
    required = set(re.findall(r"\$\{(\w+):\?", COMPOSE_TEXT))
    assert required
    assert required <= set(re.findall(r"\w+", top))
    told = set(re.findall(r"\$\{(\w+):-", COMPOSE_TEXT)) - VARIABLES
    assert told == {"OPENAI_API_KEY"}


def test_compose_scales_to_what_the_readme_says() -> None:
    """There is a service `worker` to scale: nothing in it can be had only once."""
    assert "--scale worker=" in README
    assert not {"ports", "container_name", "hostname"} & set(SERVICES["worker"])


def test_one_collector_and_flower_for_this_host_only() -> None:
    """The log has one writer, and no port is open to the network."""
    commands = [service["command"][1] for service in OURS.values()]
    assert commands.count("collect") == 1
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert "FLOWER_BASIC_AUTH" in OURS["flower"]["environment"]


def test_dockerfile_copies_what_is_there() -> None:
    """Every source of a COPY exists, among them all that the package is built from."""
    build = OURS["worker"]["build"]
    dockerfile = ROOT / build["context"] / build["dockerfile"]
    lines = [line.split() for line in dockerfile.read_text().splitlines()]
    copied = [source for words in lines if words[:1] == ["COPY"] for source in words[1:-1]]
    assert [source for source in copied if not (ROOT / source).exists()] == []
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert set(copied) >= packages | {"pyproject.toml", "README.md", "LICENSE"}


def test_dockerfile_runs_a_python_that_hipopt_supports() -> None:
    """The image's Python meets requires-python, and nothing runs as root."""
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    found = re.search(r"^FROM python:3\.(\d+)-", text, re.M)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert found
    assert int(found[1]) >= int(project["requires-python"].removeprefix(">=3."))
    assert re.search(r"^USER (?!root)\w+", text, re.M)
