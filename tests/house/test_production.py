"""docker-compose.yml and Dockerfile name only what exists, and contain no secrets.

No container is started: a machine without Docker runs these too.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.util import find_spec
from typing import Any

import flower.options  # type: ignore[import-untyped]  # flower has no types
import pytest
import yaml
from celery.bin.celery import celery
from cryptography.fernet import Fernet

from billing.config import Settings
from tests.house.tree import ROOT, commands

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "ovo-billing"}
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
EXAMPLE = (ROOT / ".env.example").read_text()

SETTINGS = {f"BILLING_{name.upper()}" for name in Settings.model_fields}
OF_THE_LOCAL_STACK = {"BILLING_HOME", "BILLING_UP_PORT"}
OF_FLOWER = {"BILLING_FLOWER_HOSTS"}
OF_WEB = {
    "BILLING_DOKU_NOTIFICATION_PATH", "BILLING_METRICS_TOKEN", "BILLING_WEB_REQUESTS_PER_SECOND",
    "BILLING_WEB_PROCESSES", "BILLING_WEB_THREADS", "BILLING_TRUSTED_PROXIES", "BILLING_SSO_HEADER",
    "BILLING_SSO_PROXIES", "BILLING_APPROVAL_REFUND_ABOVE", "BILLING_APPROVAL_BULK_ABOVE",
    "BILLING_APPROVAL_HOURS",
}  # fmt: skip
OF_THE_SANDBOX = {"SANDBOX_CLIENT_ID", "SANDBOX_SECRET_KEY", "SANDBOX_CONTROL"}
OF_THE_IMAGES = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "REDISCLI_AUTH"}
FOREIGN = {"postgres", "pg_isready", "redis-server", "redis-cli", "grep"}
SECRET = re.compile("PASSWORD|SECRET|KEY|AUTH|TOKEN|CLIENT_ID|_URL$")
VARIABLE = re.compile(r"\$\{(\w+)")


def lines_of(service: dict[str, Any]) -> Iterator[list[str]]:
    """Each command line of a service: what it runs, and how its health is asked."""
    yield [str(word) for word in service.get("command", [])]
    kind, *words = service.get("healthcheck", {}).get("test", ["CMD"])
    if kind == "CMD":
        yield words
    else:
        yield from (shlex.split(part) for part in words[0].split(" | "))


def options_of(words: list[str]) -> set[str]:
    """The options among the words, without their values."""
    return {word.partition("=")[0] for word in words if re.match("--?[a-zA-Z]", word)}


def celery_takes(words: list[str]) -> bool:
    """Whether `celery -A MODULE …` can be typed like this."""
    dash, module, name, *rest = words
    options = {option for parameter in celery.commands[name].params for option in parameter.opts}
    if name == "flower":
        options = {f"--{option}" for option in flower.options.options}
    return dash == "-A" and find_spec(module) is not None and options_of(rest) <= options


def billing_takes(words: list[str]) -> bool:
    """Whether `billing …` can be typed like this."""
    known = commands().items()
    found = (options for command, options in known if tuple(words[: len(command)]) == command)
    return any(options_of(words) <= options for options in found)


def python_takes(words: list[str]) -> bool:
    """Whether `python -m …` has such a module with such options, or `python -c …` is Python."""
    switch, what, *rest = words
    if switch == "-c":
        return bool(compile(what, "health", "exec"))
    helped = subprocess.run(
        [sys.executable, "-m", what, "--help"], capture_output=True, text=True, check=True
    )
    return options_of(rest) <= set(re.findall(r"--[a-z-]+", helped.stdout))


def can_be_typed(line: list[str]) -> bool:
    """Whether a command line would be understood."""
    match line:
        case ["nice", "-n", _, *words]:
            return can_be_typed(words)
        case ["celery", *words]:
            return celery_takes(words)
        case ["billing", *words]:
            return billing_takes(words)
        case ["python", *words]:
            return python_takes(words)
        case _:
            return not line or line[0] in FOREIGN


def seconds(text: str) -> int:
    """A duration such as `120s`."""
    return int(text.removesuffix("s"))


@pytest.mark.parametrize("name", SERVICES)
def test_every_command_of_a_service_exists(name: str) -> None:
    """Programs, modules, subcommands and options are those of this version."""
    lines = [list(line) for line in lines_of(SERVICES[name])]

    assert [line for line in lines if not can_be_typed(line)] == []


def test_every_variable_of_a_service_is_a_setting() -> None:
    """No service gets a setting that it does not read."""
    given = {variable for service in SERVICES.values() for variable in service["environment"]}
    of_flower = {f"FLOWER_{name.upper()}" for name in flower.options.options}

    assert given - SETTINGS - of_flower - OF_THE_SANDBOX - OF_THE_IMAGES == set()


def test_the_worker_is_told_every_setting() -> None:
    """A setting that is put into .env reaches the engine, also one that is added later."""
    of_the_engine = SETTINGS - OF_THE_LOCAL_STACK - OF_FLOWER - OF_WEB
    assert SERVICES["worker"]["environment"].keys() == of_the_engine
    assert SERVICES["web"]["environment"].keys() == of_the_engine | OF_WEB


def test_flower_is_told_where_the_messages_are_and_no_other_secret() -> None:
    """It has neither the database nor a key: an attacker in it can reach only the queue."""
    told = SERVICES["flower"]["environment"].keys()

    assert {name for name in told if SECRET.search(name)} == {
        "BILLING_REDIS_URL", "FLOWER_BASIC_AUTH",
    }  # fmt: skip
    assert told >= OF_FLOWER


def test_no_secret_has_a_usable_default() -> None:
    """A secret comes from .env, and without it nothing starts."""
    given = [
        (name, str(value))
        for service in SERVICES.values()
        for name, value in service["environment"].items()
        if SECRET.search(name) and value is not None
    ]

    assert len(given) > len(OURS)
    assert [name for name, value in given if not re.search(r"\$\{\w+:\?.+\}", value)] == []
    assert ":-" not in (ROOT / "docker-compose.yml").read_text()
    assert (
        re.findall(r"^(\w*(?:PASSWORD|SECRET|KEY|AUTH|CLIENT_ID)\w*)=.+$", EXAMPLE, re.MULTILINE)
        == []
    )


def test_the_example_has_what_compose_asks_for() -> None:
    """.env.example lists all the needed settings, and no others."""
    needed = set(VARIABLE.findall((ROOT / "docker-compose.yml").read_text()))
    offered = set(re.findall(r"^#?([A-Z_]+)=", EXAMPLE, re.MULTILINE))

    assert needed <= offered
    assert offered <= needed | SETTINGS


def test_a_token_key_made_as_the_example_says_is_one() -> None:
    """The command in .env.example prints a Fernet key."""
    code = re.search(r"python3 -c \"(import base64.+)\"", EXAMPLE)
    assert code is not None

    made = subprocess.run([sys.executable, "-c", code[1]], capture_output=True, check=True).stdout

    Fernet(made.strip())


def test_only_flower_and_web_can_be_reached_and_from_this_host_only() -> None:
    """A database, a queue or a worker has no port outside."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    port = next(word for word in SERVICES["flower"]["command"] if word.startswith("--port="))

    assert published == {
        "flower": [f"127.0.0.1:5555:{port.removeprefix('--port=')}"],
        "web": [f"127.0.0.1:8000:{SERVICES['web']['command'][-1]}"],
    }
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert {"postgres", "redis", "beat", "migrate", "sandbox"} == {
        name for name, service in SERVICES.items() if service.get("networks") == ["inside"]
    }


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_write_nothing_and_gain_nothing(name: str) -> None:
    """Every container is read-only and without privileges."""
    service = OURS[name]

    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"migrate"}))
def test_a_service_comes_back_and_can_be_asked_how_it_is(name: str) -> None:
    """Every service has a restart policy, a health check and bounded logs."""
    service = SERVICES[name]

    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]
    assert service["logging"]["options"]["max-size"]


def test_engines_wait_for_the_tables() -> None:
    """Worker and beat start when the migration has succeeded."""
    done = {"condition": "service_completed_successfully"}

    assert SERVICES["worker"]["depends_on"]["migrate"] == done
    assert SERVICES["beat"]["depends_on"]["migrate"] == done
    assert SERVICES["migrate"]["restart"] == "no"


def test_a_worker_is_given_time_for_one_call() -> None:
    """The grace is longer than a call to the gateway may take, and than the soft shutdown."""
    workers = (ROOT / "workers" / "app.py").read_text()
    margin = re.search(r"^SOFT_SHUTDOWN_MARGIN_SECONDS = (\d+)$", workers, re.MULTILINE)
    assert margin is not None

    soft = Settings.model_fields["doku_timeout_seconds"].default + int(margin[1])

    assert seconds(SERVICES["worker"]["stop_grace_period"]) > soft


def test_the_sandbox_is_where_every_worker_may_call_it() -> None:
    """By plain http in the network of the containers, which reaches nothing outside."""
    sandbox = SERVICES["sandbox"]
    host, port = (sandbox["command"][sandbox["command"].index(o) + 1] for o in ("--host", "--port"))
    url = f"http://sandbox:{port}"
    text = (ROOT / "docker-compose.yml").read_text()

    assert host == "0.0.0.0"
    assert sandbox["networks"] == ["inside"]
    assert "ports" not in sandbox
    for service in ("worker", "web"):
        assert "inside" in SERVICES[service]["networks"]
    assert f"BILLING_DOKU_BASE_URL={url}" in text
    assert "BILLING_DOKU_PLAIN_HOST=sandbox" in text
    assert Settings(doku_base_url=url, doku_plain_host="sandbox").doku_base_url == url


def test_volumes_and_networks_are_declared() -> None:
    """Mounted volumes and joined networks exist, and PostgreSQL 18's data are at its path."""
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    networks = {network for service in SERVICES.values() for network in service.get("networks", [])}

    assert {mount.partition(":")[0] for mount in mounts} == COMPOSE["volumes"].keys()
    assert networks == COMPOSE["networks"].keys()
    assert "postgres:/var/lib/postgresql" in mounts


def test_the_image_is_built_from_files_that_are_there() -> None:
    """Each COPY has its sources, and .dockerignore lets them through and no secrets."""
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] != "#"]
    allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}

    assert sources
    assert all((ROOT / source).exists() for source in sources)
    assert rules[0] == "*"
    assert allowed == sources
    assert not any(fnmatch(".env", rule) for rule in allowed)


def test_the_image_takes_nothing_but_the_lock() -> None:
    """Files are checked by their hashes, and installed from nowhere else."""
    installs = re.findall(r"\bpip .*?\b(download|install) (.*?)(?:&&|$)", DOCKERFILE, re.MULTILINE)

    assert [verb for verb, _ in installs] == ["download", "install"]
    assert "--require-hashes" in installs[0][1]
    assert "-r requirements.lock" in installs[0][1]
    assert "--no-index" in installs[1][1]


def test_the_image_is_small_and_its_user_is_nobody() -> None:
    """The last stage runs no installer, and not as root."""
    last = DOCKERFILE.split("\nFROM ")[-1]

    assert re.findall(r"^USER (\S+)$", last, re.MULTILINE) == ["10001"]
    assert "--uid 10001" in last
    assert not re.search(r"\b(?:pip|apt|apt-get|gcc)\b", last)
