"""What README, compose file and Dockerfile name is there: files, commands, options, variables."""

from __future__ import annotations

import configparser
import copy
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
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
DEPLOY = ROOT / "deploy"
DOCKERFILES = sorted(DEPLOY.glob("*.Dockerfile"))
UNITS = sorted(DEPLOY.glob("systemd/*.service"))
SCRIPTS = sorted(DEPLOY.glob("**/*.sbatch"))
GUIDE = (DEPLOY / "README.md").read_text()

BLOCKS = [line[4:] for line in README.splitlines() if line.startswith("    ")]
BLOCKS += [line[4:] for line in GUIDE.splitlines() if line.startswith("    ")]
INLINE = re.findall(r"`([^`\n]+)`", README + GUIDE)
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


def of_the_kit(module: str) -> Any:
    """A module of the dev extra; where it is missing the test is skipped, but in CI."""
    try:
        return importlib.import_module(module)
    except ImportError:
        if os.environ.get("CI") and sys.version_info < (3, 14):
            raise
        return pytest.importorskip(module)


def filled_in(compose: dict[str, Any]) -> str:
    """The file with its variables replaced, as Compose does it before it looks at the form."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", yaml.safe_dump(compose, width=10_000))
    return re.sub(r"\$\{\w+:\?[^}]*\}", "secret", text).replace("$$", "$")


def test_compose_has_the_form_of_the_specification() -> None:
    """The file, its anchors resolved, is what the Compose specification's model takes.

    And the model is one that refuses: a misspelt key, and a port that is none.
    """
    model = of_the_kit("compose_spec").PyCompose
    model.from_yaml(filled_in(COMPOSE)).validate()
    for name, value in (("comand", "x"), ("ports", {"a": 1}), ("restart", "sometimes")):
        wrong = copy.deepcopy(COMPOSE)
        wrong["services"]["flower"][name] = value
        with pytest.raises(ValueError, match=r"."):
            model.from_yaml(filled_in(wrong)).validate()


def test_compose_refers_to_what_is_there() -> None:
    """Every volume, file and dependency of a service is declared, and every file exists."""
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}, name
            assert SERVICES[needed]["healthcheck"]["test"]
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            there = source in COMPOSE["volumes"] or source == "./data" or (ROOT / source).is_file()
            assert there, volume
            assert target.startswith("/")
        assert all(isinstance(v, str) for v in service.get("environment", {}).values())
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).is_file()


def test_compose_keeps_secrets_out_of_command_lines() -> None:
    """No command holds a variable of compose's: `ps` on the host shows commands."""
    for service in SERVICES.values():
        assert not re.search(r"(?<!\$)\$\{?\w", " ".join(service.get("command", [])))


def test_compose_gives_an_amd_worker_its_gpus() -> None:
    """The devices, the groups that own them, and room for a sandbox that takes its rights away."""
    worker = SERVICES["worker"]
    assert worker["devices"] == ["/dev/kfd:/dev/kfd", "/dev/dri:/dev/dri"]
    assert len(worker["group_add"]) == 2
    assert worker["environment"]["HIPOPT_DEVICE"] == "amd"
    assert SERVICES["worker-cpu"]["profiles"] == ["cpu"]
    for name in ("worker", "worker-cpu"):
        assert SERVICES[name]["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in SERVICES[name]["security_opt"]


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


def test_workers_of_a_host_share_their_slots() -> None:
    """All workers of the compose file, and of a node's unit, agree on who has which core.

    They have no /tmp in common, so the folder lies where they do: on a volume that both kinds of
    worker mount, and in the unit's cache folder.
    """
    shared = set[tuple[str, str]]()
    for name in ("worker", "worker-cpu"):
        slots = SERVICES[name]["environment"]["HIPOPT_SLOTS_DIR"]
        volumes = dict(volume.split(":")[::-1] for volume in SERVICES[name]["volumes"])
        [mount] = [target for target in volumes if slots.startswith(f"{target}/")]
        assert volumes[mount] in COMPOSE["volumes"]
        shared.add((volumes[mount], slots))
    assert len(shared) == 1
    unit = (DEPLOY / "systemd" / "hipopt-worker.service").read_text()
    assert "PrivateTmp=yes" in unit
    assert "CacheDirectory=hipopt\n" in unit
    assert "Environment=HIPOPT_SLOTS_DIR=/var/cache/hipopt/" in unit


def test_compose_says_what_it_must_be_told() -> None:
    """Every variable without which it doesn't start stands in the comment on top."""
    top = COMPOSE_TEXT[: COMPOSE_TEXT.index("\nname:")]
    required = set(re.findall(r"\$\{(\w+):\?", COMPOSE_TEXT))
    assert required
    assert required <= set(re.findall(r"\w+", top))
    told = set(re.findall(r"\$\{(\w+):-", COMPOSE_TEXT)) - VARIABLES
    assert told == {"OPENAI_API_KEY", "VIDEO_GID", "RENDER_GID"}
    assert told <= set(re.findall(r"\w+", top))


def test_compose_scales_to_what_the_readme_says() -> None:
    """There is a service `worker` to scale: nothing in it can be had only once."""
    assert "--scale worker=" in README
    for name in ("worker", "worker-cpu"):
        assert not {"ports", "container_name", "hostname"} & set(SERVICES[name])


def test_one_collector_and_flower_for_this_host_only() -> None:
    """The log has one writer, and no port is open to the network."""
    commands = [service["command"][1] for service in OURS.values()]
    assert commands.count("collect") == 1
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert "FLOWER_BASIC_AUTH" in OURS["flower"]["environment"]


def instructions(dockerfile: Path) -> list[list[str]]:
    """Its instructions in words, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", dockerfile.read_text(), flags=re.M).replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda p: p.name)
def test_dockerfiles_are_whole(dockerfile: Path) -> None:
    """Known instructions; all that the package is built from is copied; a user that is not root."""
    lines = instructions(dockerfile)
    known = {"ARG", "FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "CMD"}
    assert {words[0] for words in lines} <= known
    copied = [source for words in lines if words[0] == "COPY" for source in words[1:-1]]
    assert [source for source in copied if not (ROOT / source).exists()] == []
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert set(copied) >= packages | {"pyproject.toml", "README.md", "LICENSE"}
    seen = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    assert {source.split("/")[0] for source in copied} <= seen
    users = [words[1] for words in lines if words[0] == "USER"]
    made = re.findall(r"useradd [\w\s-]*?(\w+)\s+&&", dockerfile.read_text().replace("\\\n", ""))
    assert users[-1:] == ["hipopt"] == made
    start = json.loads(" ".join(lines[-1][1:]))
    assert lines[-1][0] == "CMD"
    assert start[0] == "hipopt"
    assert start[1] in {*COMMANDS, "--help"}


def test_dockerfiles_run_a_python_that_hipopt_supports() -> None:
    """The image's Python meets requires-python."""
    found = re.search(r"^FROM python:3\.(\d+)-", (DEPLOY / "control.Dockerfile").read_text(), re.M)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert found
    assert int(found[1]) >= int(project["requires-python"].removeprefix(">=3."))


@pytest.mark.parametrize("unit", UNITS, ids=lambda p: p.name)
def test_units_start_real_commands(unit: Path) -> None:
    """A unit starts a hipopt command with options that it has, and stops it softly."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit.read_text())
    service = parser["Service"]
    words = shlex.split(service["ExecStart"])
    parse(["hipopt", *words[1:]])
    assert Path(words[0]).name == "hipopt"
    assert service["KillSignal"] == "SIGTERM"
    assert int(service["TimeoutStopSec"]) >= 30
    assert service["User"] == "hipopt"
    assert "RestrictNamespaces" not in service
    for name in re.findall(r"\bHIPOPT_[A-Z_]+\b", unit.read_text()):
        assert name in VARIABLES


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda p: p.name)
def test_systemd_understands_the_units(unit: Path, tmp_path: Path) -> None:
    """Systemd finds nothing to say about them, once the program is there."""
    program = tmp_path / "hipopt"
    program.symlink_to(sys.executable)
    for one in UNITS:
        text = one.read_text().replace("/opt/hipopt/bin/hipopt", str(program))
        (tmp_path / one.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert str(tmp_path) not in done.stderr
    assert unit.name not in done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_scripts_are_shell(script: Path) -> None:
    """Bash parses it, shellcheck finds nothing, and what it starts and reads is hipopt's."""
    shellcheck = shutil.which("shellcheck") or str(Path(sys.executable).with_name("shellcheck"))
    checks = [["bash", "-n", str(script)]]
    if Path(shellcheck).exists():
        checks.append([shellcheck, "-s", "bash", str(script)])
    elif os.environ.get("CI"):
        pytest.fail("no shellcheck: install the dev extra")
    for check in checks:
        done = subprocess.run(check, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
    text = script.read_text()
    assert set(re.findall(r"\bHIPOPT_[A-Z_]+\b", text)) - {"HIPOPT_ENV_FILE", "HIPOPT_VENV"} <= (
        VARIABLES
    )
    assert "hipopt worker" in text
    assert os.access(script, os.X_OK)


def test_the_guide_names_what_is_there() -> None:
    """Every file and variable that deploy/README.md names exists."""
    links = [p for p in re.findall(r"\]\(([^)#\s]+)\)", GUIDE) if "://" not in p]
    assert links
    assert [p for p in links if not (DEPLOY / p).exists()] == []
    assert set(re.findall(r"\bHIPOPT_[A-Z_]+\b", GUIDE)) <= VARIABLES | {
        "HIPOPT_REDIS_PASSWORD", "HIPOPT_FLOWER_PASSWORD", "HIPOPT_VENV",
    }  # fmt: skip
