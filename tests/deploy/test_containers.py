"""The examples for containers: each checked by its own tool, and the image's steps carried out without Docker."""

import configparser
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from chat.cli.options import Options, read_options
from tests.cluster.signals import child_of
from tests.deploy.wheels import make_index
from tests.faults.tools import need
from tests.support.cluster import ROOT
from tests.support.node import Node
from tests.support.waiting import wait_until

DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"
KUBERNETES = "1.31"  # the oldest that kubernetes.yaml is for
DEADLINE_S = 60
USER = "10001"


def tool(name: str, *arguments: str) -> str:
    """Run a tool that pip has put beside Python, and return its output.  Raises AssertionError if it finds a fault."""
    command = [str(Path(sys.executable).parent / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and what they are given."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line.strip()]


def given(name: str) -> list[str]:
    """The arguments of the instructions of this name."""
    return [text for instruction, text in instructions() if instruction == name]


def image_environment() -> dict[str, str]:
    """The variables that the image sets for a node."""
    return dict(word.partition("=")[::2] for text in given("ENV") for word in shlex.split(text))


def options_of(variables: Mapping[str, str]) -> Options:
    """The options of a node in the image that is given these variables.  Raises OptionRefused."""
    return read_options([], image_environment() | dict(variables))


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    assert tool("hadolint", str(DOCKERFILE)) == ""


def test_the_context_of_the_image_is_what_the_dockerfile_copies() -> None:
    copied = {name for text in given("COPY")[:-1] for name in text.split()[:-1]}
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert "*" in ignored


def test_compose_understands_the_file_of_three_nodes() -> None:
    found = yaml.safe_load(tool("docker-compose", "--file", str(DEPLOY / "compose.yaml"), "config"))
    assert list(found["services"]) == ["node1", "node2", "node3"]
    for number, (name, service) in enumerate(found["services"].items(), 1):
        options = options_of(service["environment"])
        assert options.id == number
        assert options.members[number] == f"http://{name}:12379"
        assert options.advertise.endswith(f":{service['ports'][0]['published']}")
        assert service["ports"][0]["target"] == options.port
        files = {Path("/run/secrets", secret["target"]).as_posix(): secret["source"] for secret in service["secrets"]}
        named = {value for value in service["environment"].values() if value.startswith("/run/secrets/")}
        assert named == set(files)
        assert {files["/run/secrets/certificate"], files["/run/secrets/key"]} == {
            f"certificate{number}",
            f"key{number}",
        }
        (volume,) = service["volumes"]
        assert volume["source"] == name and options.data_dir.is_relative_to(volume["target"])


def kubernetes() -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())


def test_kubernetes_understands_every_field() -> None:
    told = tool("kubernetes-validate", "--strict", "-k", KUBERNETES, str(DEPLOY / "kubernetes.yaml"))
    assert told.count("passed for resource") == len(list(kubernetes())) == 5


def test_a_pod_gets_the_options_of_its_number() -> None:
    by_kind = {document["kind"]: document for document in kubernetes()}
    spec = by_kind["StatefulSet"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    variables = {item["name"]: item["value"] for item in container["env"] if "value" in item}
    for number in range(spec["ordinals"]["start"], spec["ordinals"]["start"] + spec["replicas"]):
        options = options_of(variables | {"RAFT_CHAT_ID": str(number)})
        assert options.members[number] == f"http://raft-chat-{number}.{spec['serviceName']}:12379"
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"http": 12380, "peers": 12379}
    assert options.data_dir.is_relative_to(container["volumeMounts"][0]["mountPath"])
    assert pod["securityContext"]["runAsUser"] == int(USER)
    # Kubernetes would set RAFT_CHAT_PORT and others, which are no options: the service has the name of the command.
    assert pod["enableServiceLinks"] is False
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert container["image"].endswith(f"/raft-chat:{config['metadata']['version']}")
    # A node ends within ten seconds of SIGTERM.
    assert pod["terminationGracePeriodSeconds"] >= container["lifecycle"]["preStop"]["sleep"]["seconds"] + 10


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installation that the image's first stage makes, of the files that it copies and no others."""
    place = tmp_path_factory.mktemp("image")
    source = place / "source"
    source.mkdir()
    for text in given("COPY")[:-1]:
        *names, to = text.split()
        for name in names:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / to, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, source / to)
    (run,) = (text for text in given("RUN") if text.startswith("pip "))
    (place / "index").mkdir()
    installed = place / "installed"
    command = f"{shlex.quote(sys.executable)} -m {run.replace('/installed', str(installed))}"
    environment = {
        **os.environ,
        **make_index(place / "index"),
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_IGNORE_INSTALLED": "1",
    }
    done = subprocess.run(["sh", "-c", command], cwd=source, env=environment, capture_output=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return installed


# A container: what is installed, a data directory of the user's, no other place to write, no rights, process 1.
CONTAINER = """
set -e
mount --make-rprivate /
mount -o bind,ro {image} /usr/local
mount -t tmpfs tmpfs /var/lib
mkdir /var/lib/raft-chat
chown {user}:{user} /var/lib/raft-chat
mount -o remount,bind,ro /
ip link set lo up
exec setpriv --reuid {user} --regid {user} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""


def test_the_image_runs_a_node_as_process_1_without_rights_and_stops_it_at_sigterm(image: Path) -> None:
    need(("unshare", "nsenter", "setpriv", "ip", "mount"))
    (library,) = image.glob("lib/python3*/site-packages")
    environment = {
        **image_environment(), "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": f"/usr/local/{library.relative_to(image)}",
    }  # fmt: skip
    assert given("USER") == [f"{USER}:{USER}"]
    (entry,) = given("ENTRYPOINT")
    assert entry == '["raft-chat"]'
    process = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--mount", "--net", "bash", "-c",
         CONTAINER.format(image=image, user=USER), "-", "/usr/bin/python3", "/usr/local/bin/raft-chat"],
        env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        pid = wait_until(lambda: child_of(process.pid), DEADLINE_S, "the container runs")
        check = re.fullmatch(r".*CMD (\[.*\])", given("HEALTHCHECK")[0])
        assert check is not None
        inside = [
            "nsenter",
            "--target",
            str(pid),
            "--mount",
            "--pid",
            "--net",
            "--setuid",
            USER,
            "--setgid",
            USER,
            "--",
        ]
        command = [*inside, *yaml.safe_load(check[1])]

        def is_healthy() -> bool:
            assert process.poll() is None, process.stdout and process.stdout.read()
            return subprocess.run(command, env=environment, capture_output=True, timeout=DEADLINE_S).returncode == 0

        wait_until(is_healthy, DEADLINE_S, "the health check passes")
        os.kill(pid, signal.SIGTERM)
        told, _ = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, told
        assert "has stopped" in told
    finally:
        process.kill()
        process.communicate()


def test_the_health_check_fails_where_no_node_answers() -> None:
    check = re.fullmatch(r".*CMD (\[.*\])", given("HEALTHCHECK")[0])
    assert check is not None
    _, *arguments = yaml.safe_load(check[1])
    done = subprocess.run(
        [sys.executable, *arguments], env={"RAFT_CHAT_PORT": "1"}, capture_output=True, timeout=DEADLINE_S
    )
    assert done.returncode != 0


@pytest.mark.parametrize("is_tls", [False, True])
def test_the_health_check_passes_with_tls_and_without_however_that_was_set(is_tls: bool) -> None:
    check = re.fullmatch(r".*CMD (\[.*\])", given("HEALTHCHECK")[0])
    assert check is not None
    _, *arguments = yaml.safe_load(check[1])
    with Node(is_tls=is_tls) as node:
        done = subprocess.run(
            [sys.executable, *arguments],
            env={"RAFT_CHAT_PORT": str(node.port)},
            capture_output=True,
            timeout=DEADLINE_S,
        )
    assert done.returncode == 0, done.stderr
