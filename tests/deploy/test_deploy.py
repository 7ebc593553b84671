"""The files in `deploy/`: they name what is there, and agree with each other and with the server."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.command import legato
from tests.support.paths import ROOT
from tests.support.server import Server

DEPLOY = ROOT / "deploy"


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def grace(command: str) -> float:
    (found,) = re.findall(r"--grace-seconds[\", ]+(\d+)", command)
    return float(found)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def dockerfile() -> list[list[str]]:
    """Its instructions, cut into words."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]


def test_the_image_copies_what_is_there_and_does_not_run_as_root() -> None:
    instructions = dockerfile()
    allowed = (ROOT / ".dockerignore").read_text().split()
    sources = [
        name for kind, rest in instructions if kind == "COPY" and "--from" not in rest for name in rest.split()[:-1]
    ]
    assert sources
    for name in sources:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in allowed
    users = [rest for kind, rest in instructions if kind == "USER"]
    assert users and re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]), "Kubernetes only trusts numbers"
    extras = set(re.findall(r"'\.\[(.*)\]'", " ".join(rest for _, rest in instructions))[0].split(","))
    assert "serve" in extras


def test_its_command_is_understood(tmp_path: Path) -> None:
    """Without a key it says that it would be open to everybody: so all options before were understood."""
    parts = {kind: yaml.safe_load(rest) for kind, rest in dockerfile() if kind in {"ENTRYPOINT", "CMD"}}
    assert parts["ENTRYPOINT"] == ["legato"]
    result = legato(*parts["CMD"], "--model", "embedded", home=tmp_path)
    assert b"--allow-anonymous" in result.stderr


def test_compose_refers_to_what_is_there(compose: dict[str, Any]) -> None:
    service = compose["services"]["legato"]
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).samefile(DEPLOY / "Dockerfile")
    for each in compose["services"].values():
        for volume in each.get("volumes", []):
            source, target = volume.split(":")[:2]
            assert (DEPLOY / source).is_file() if source.startswith(".") else source in compose["volumes"]
            assert target.startswith("/")
        for port in each["ports"]:
            assert port.startswith("127.0.0.1:"), "reachable from everywhere"
    folder = service["volumes"][0].split(":")[1]
    assert any(kind == "VOLUME" and rest == folder for kind, rest in dockerfile())
    assert any(kind == "ENV" and f"LEGATO_HOME={folder}" in rest for kind, rest in dockerfile())


def test_prometheus_asks_where_the_server_listens(compose: dict[str, Any]) -> None:
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    (command,) = (rest for kind, rest in dockerfile() if kind == "CMD")
    assert target == f"legato:{re.findall(r'--port.*?([0-9]+)', command)[0]}"
    assert compose["services"]["legato"]["ports"][0].endswith(f":{target.split(':')[1]}")
    (secret,) = compose["services"]["prometheus"]["secrets"]
    assert job["authorization"]["credentials_file"] == f"/run/secrets/{secret}"
    assert job.get("metrics_path", "/metrics") == "/metrics"


def test_there_is_time_to_finish(compose: dict[str, Any]) -> None:
    unit = (DEPLOY / "legato.service").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert seconds(re.findall(r"^TimeoutStopSec=(.*)$", unit, re.MULTILINE)[0]) > grace(command) + 2
    (image,) = (rest for kind, rest in dockerfile() if kind == "CMD")
    assert seconds(compose["services"]["legato"]["stop_grace_period"]) > grace(image) + 2


def test_the_unit(tmp_path: Path) -> None:
    unit = (DEPLOY / "legato.service").read_text()
    (line,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    program, *arguments = shlex.split(line)
    assert Path(program).name == "legato"
    with Server(tmp_path, *arguments[1:], "--port", "0") as server:
        assert httpx.get(f"{server.url}/ready").status_code == 200
    if shutil.which("systemd-analyze") is None:
        return
    file = tmp_path / "legato.service"
    file.write_text(unit.replace(program, "/bin/true"))
    said = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, check=False, text=True)
    assert (said.returncode, said.stderr) == (0, "")


def test_metrics_are_what_prometheus_reads(server: Server) -> None:
    answer = httpx.get(f"{server.url}/metrics")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    for file in (DEPLOY / "README.md", DEPLOY / "alerts.yml", DEPLOY / "grafana" / "legato.json"):
        named = set(re.findall(r"\blegato_[a-z_]+", file.read_text()))
        assert named
        for name in named:
            assert re.sub(r"_(total|bucket|sum|count)$", "", name) in families, name
    assert families["legato_chunk_latency_seconds"].type == "histogram"
    assert families["legato_refused"].type == "counter"


def test_prometheus_has_the_rules_that_compose_mounts(compose: dict[str, Any]) -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["rule_files"]
    mounted = [volume.split(":")[1] for volume in compose["services"]["prometheus"]["volumes"]]
    assert [f"/etc/prometheus/{name}" in mounted for name in rules] == [True]
    (group,) = yaml.safe_load((DEPLOY / rules[0]).read_text())["groups"]
    for rule in group["rules"]:
        assert {"alert", "expr", "for", "labels", "annotations"} == set(rule)
        assert {"summary", "action"} == set(rule["annotations"])
    if shutil.which("promtool") is not None:
        checked = subprocess.run(["promtool", "check", "rules", DEPLOY / rules[0]], check=False, capture_output=True)
        assert checked.returncode == 0, checked.stdout


def test_memory_and_processors_are_limited(compose: dict[str, Any]) -> None:
    assert {"mem_limit", "cpus", "pids_limit"} <= set(compose["services"]["legato"])
    unit = (DEPLOY / "legato.service").read_text()
    assert re.search(r"^MemoryMax=", unit, re.MULTILINE) and re.search(r"^TasksMax=", unit, re.MULTILINE)
