"""A start that cannot work: one sentence that says what and which setting, exit code 1."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from tests.places import free_ports

ROOT = Path(__file__).parents[2]


def launched(directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `turnwise run` says and how it ends."""
    port, dashboard_port = free_ports(2)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RAY_", "OPENAI_", "CHATWOOT_", "REDIS_", "ACCOUNT_"))
    }
    settings = {
        "DATA_DIR": str(directory / "data"),
        "PORT": str(port),
        "DASHBOARD_PORT": str(dashboard_port),
        **environment,
    }
    return subprocess.run(
        [str(Path(sys.executable).with_name("turnwise")), "run"],
        env=kept | settings,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def refused(done: subprocess.CompletedProcess[str], *says: str) -> None:
    """One sentence, the right exit code, no traceback."""
    assert done.returncode == 1, done
    lines = [line for line in done.stderr.splitlines() if line.startswith("turnwise:")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    for part in says:
        assert part in lines[0]


@pytest.mark.parametrize("setting", ["PORT", "DASHBOARD_PORT"])
def test_a_taken_port(tmp_path: Path, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = launched(tmp_path, **{setting: str(port)})
    refused(done, f"port {port} on 127.0.0.1 is taken", f"set {setting}")


def test_a_redis_that_cannot_be_reached(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    done = launched(tmp_path, REDIS_URL=f"redis://:a-password@127.0.0.1:{port}/0")
    refused(done, f"Redis at 127.0.0.1:{port} cannot be reached", "REDIS_URL")
    assert "a-password" not in done.stdout + done.stderr


@pytest.mark.parametrize("given", ["", ":a-password@"])
def test_a_redis_that_refuses_the_password(tmp_path: Path, redis_6: str, given: str) -> None:
    with Redis.from_url(redis_6) as operator:
        operator.config_set("requirepass", "another")
        try:
            done = launched(tmp_path, REDIS_URL=redis_6.replace("://", f"://{given}"))
        finally:
            operator.config_set("requirepass", "")
    refused(done, "refuses the password; correct it in REDIS_URL")
    assert "a-password" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"PORT": "many"}, ["PORT", "valid integer"]),
        ({"QUIET_WINDOW_S": "-1"}, ["QUIET_WINDOW_S", "greater than or equal to 0"]),
        ({"QUIET_WINDOW_S": "40"}, ["LONGEST_WAIT_S (30) is below QUIET_WINDOW_S (40)"]),
        ({"PLACEMENT": "anywhere"}, ["PLACEMENT", "'shared' or 'dedicated'"]),
        ({"COMPANY_ID": "A B"}, ["COMPANY_ID"]),
        ({"CHATWOOT_BASE_URL": "http://chat.example"}, ["set CHATWOOT_API_KEY, ACCOUNT_ID too"]),
        ({"COMPANIES_FILE": "/nowhere/companies.toml"}, ["COMPANIES_FILE", "cannot be read"]),
        ({"REDIS_URL": "nonsense"}, ["REDIS_URL: it is not a Redis address"]),
    ],
)
def test_a_wrong_setting(tmp_path: Path, environment: dict[str, str], says: list[str]) -> None:
    refused(launched(tmp_path, **environment), *says)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[companies", "is not TOML"),
        ("", "companies: Field required"),
        ("[companies.acme]\nquiet = 1", "companies.acme.quiet: Extra inputs are not permitted"),
        ("[companies.acme]\nquiet_window_s = 60", "companies.acme.longest_wait_s (30) is below"),
        ("[companies.acme.chatwoot]\naccount_id = 1", "companies.acme.chatwoot.base_url"),
        ('[companies.acme]\ntime_zone = "Mars/Olympus"', "companies.acme.time_zone"),
        ('[companies.acme]\nresponder = "nowhere:answer"', "companies.acme.responder"),
        ('[companies.acme]\nprompt = "Hello {{ custommer }}"', "companies.acme.prompt"),
    ],
)
def test_a_wrong_companies_file(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "companies.toml"
    path.write_text(text)
    refused(launched(tmp_path, COMPANIES_FILE=str(path)), says)


def test_a_ray_that_cannot_be_reached(tmp_path: Path, redis_6: str) -> None:
    (port,) = free_ports(1)
    done = launched(tmp_path, REDIS_URL=redis_6, RAY_ADDRESS=f"127.0.0.1:{port}")
    refused(done, f"Ray at 127.0.0.1:{port} cannot be reached", "RAY_ADDRESS")


def test_a_missing_python(tmp_path: Path) -> None:
    for tool in ("sh", "id"):
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / tool).symlink_to(found)
    done = subprocess.run(
        ["sh", "environment.sh", str(tmp_path / "venv"), "."],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    refused(done, "Python 3.11 or 3.12 is missing", "make run PYTHON=")
