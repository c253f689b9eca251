"""deploy/compose.yml: valid, confined, one way in, and in step with the files that it mounts."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from resolver.api.callback import PREFIX
from resolver.api.request import LARGEST_BODY
from tests.deploy.docker import compose, dockerfile, image_environment, resolvers
from tests.deploy.process import BACKEND_SECRETS, DEPLOY
from tests.system.balancers import changed
from tests.system.conftest import free_port

COMPOSE = compose()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

every_service = pytest.mark.parametrize("name", sorted(SERVICES))


def mounts(name: str) -> dict[str, str]:
    """Return the source of each mount, by its path in the container."""
    return {mount.split(":")[1]: mount.split(":")[0] for mount in SERVICES[name].get("volumes", [])}


# The keys of Compose that the file uses. Compose refuses an unknown key, and so does this test.
_OF_A_SERVICE = {
    "build",
    "cap_drop",
    "command",
    "depends_on",
    "entrypoint",
    "environment",
    "healthcheck",
    "image",
    "logging",
    "networks",
    "ports",
    "read_only",
    "restart",
    "secrets",
    "security_opt",
    "stop_grace_period",
    "stop_signal",
    "sysctls",
    "tmpfs",
    "ulimits",
    "user",
    "volumes",
}
_OF_A_HEALTHCHECK = {"test", "interval", "timeout", "retries", "start_period"}


def test_compose_file_has_no_unknown_key() -> None:
    own = {key for key in COMPOSE if not key.startswith("x-")}
    assert own == {"name", "services", "networks", "volumes", "secrets"}
    for service in SERVICES.values():
        assert service.keys() <= _OF_A_SERVICE
        assert service.get("healthcheck", {}).keys() <= _OF_A_HEALTHCHECK


def test_compose_service_names_only_what_exists() -> None:
    for service in SERVICES.values():
        assert set(service["networks"]) <= COMPOSE["networks"].keys()
        assert set(service.get("secrets", ())) <= COMPOSE["secrets"].keys()
        assert set(service.get("depends_on", ())) <= SERVICES.keys()
        named = {mount.split(":")[0] for mount in service.get("volumes", ())}
        assert {name for name in named if name[0] not in "./"} <= COMPOSE["volumes"].keys()


@every_service
def test_compose_containers_are_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    user = service.get("user", dockerfile()["USER"])
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert not {"privileged", "cap_add", "pid", "network_mode", "devices"} & service.keys()


@every_service
def test_compose_services_have_time_to_stop_and_a_health_check(name: str) -> None:
    service = SERVICES[name]
    assert int(service["stop_grace_period"].removesuffix("s")) >= 10
    assert service.get("healthcheck", {"test": dockerfile()["HEALTHCHECK"]})["test"]


def test_nginx_alone_is_published_and_its_inner_listener_to_this_host_alone() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"nginx": ["443:443", "127.0.0.1:8443:8443"]}


def test_redis_is_reached_by_the_resolver_alone() -> None:
    assert COMPOSE["networks"]["back"] == {"internal": True}
    inside = {name for name, service in SERVICES.items() if "back" in service["networks"]}
    assert inside == {*resolvers(), "redis"}
    assert SERVICES["redis"]["networks"] == ["back"]


def test_every_secret_and_file_that_is_mounted_is_shipped_or_made(private: Path) -> None:
    made = {f"./private/{path.relative_to(private)}" for path in private.rglob("*")}
    sources = {secret["file"] for secret in COMPOSE["secrets"].values()}
    for name in SERVICES:
        sources |= {source for source in mounts(name).values() if source.startswith("./")}
    assert [s for s in sources - made if not (DEPLOY / s).exists()] == []


@pytest.mark.parametrize("name", sorted(resolvers()))
def test_each_secret_that_a_variable_points_to_is_mounted(name: str) -> None:
    service = SERVICES[name]
    pointed = {v.rpartition("/")[2] for v in service["environment"].values() if v.startswith("/run/secrets/")}
    assert set(service["secrets"]) == pointed
    assert pointed == set(COMPOSE["secrets"]) - (BACKEND_SECRETS if "callback" in name else set())


def test_internet_facing_service_gets_no_secret_of_backends() -> None:
    listeners = nginx_for_compose().split("listen 443")[1].split("listen 8443")
    internet, inside = ({*re.findall(r"proxy_pass http://(\w+);", each)} for each in listeners)
    assert (internet, inside) == ({"callbacks"}, {"inside"})
    for name in reached_by("callbacks"):
        assert not BACKEND_SECRETS & set(SERVICES[name]["secrets"])
        assert SERVICES[name]["environment"]["RESOLVER_SURFACES"] == "callback,metrics"


def test_every_named_volume_is_declared() -> None:
    named = {source for name in SERVICES for source in mounts(name).values() if not source.startswith("./")}
    assert named == set(COMPOSE["volumes"])


def test_every_file_that_redis_is_configured_with_is_mounted_there() -> None:
    configured = re.findall(r"^(?:tls-.*file|aclfile) (\S+)", (DEPLOY / "redis/redis.conf").read_text(), re.M)
    assert set(configured) <= set(mounts("redis"))


def test_writable_paths_are_volumes_or_in_memory() -> None:
    for service in resolvers().values():
        places = (service["environment"][n] for n in ("RESOLVER_CERTIFICATE_DIR", "RESOLVER_AUDIT_LOG"))
        volumes = [mount.split(":")[1] for mount in service["volumes"]]
        assert all(any(place.startswith(volume) for volume in volumes) for place in places)
        assert service["tmpfs"]


def nginx_for_compose() -> str:
    """Return the shipped file after the `sed` command that the container runs."""
    script = SERVICES["nginx"]["command"][0]
    edit = script.partition("> /run/nginx.conf")[0].replace(
        "/etc/nginx/shipped.conf", str(DEPLOY / "nginx/nginx.conf")
    )
    return subprocess.run(["sh", "-euc", edit], capture_output=True, text=True, check=True).stdout


def reached_by(upstream: str) -> list[str]:
    """Return the services whose addresses nginx has for this upstream."""
    block = re.search(rf"upstream {upstream} {{(.*?)\n    }}", nginx_for_compose(), re.DOTALL)
    assert block
    servers = re.findall(r"^ *server (\S+) max_fails", block[1], re.MULTILINE)
    port = image_environment()["RESOLVER_BIND"].rpartition(":")[2]
    assert int(port) == dockerfile()["EXPOSE"]
    addresses = {
        f"{service['networks']['front']['ipv4_address']}:{port}": name
        for name, service in resolvers().items()
        if "front" in service["networks"]
    }
    return [addresses[server] for server in servers]


def test_nginx_upstreams_are_the_services() -> None:
    assert reached_by("callbacks") == ["callback1", "callback2"]
    assert reached_by("inside") == ["inside1", "inside2"]


def test_temporary_files_of_each_listener_have_their_own_space_in_memory() -> None:
    places = re.findall(r"_temp_path +(\S+);", nginx_for_compose())
    spaces = [mount.partition(":")[0] for mount in SERVICES["nginx"]["tmpfs"]]
    found = {place: max((s for s in spaces if f"{place}/".startswith(f"{s}/")), key=len) for place in places}
    internet = {space for place, space in found.items() if "internet" in place}
    inside = {space for place, space in found.items() if "inside" in place}
    assert (len(found), len(internet)) == (4, 2)
    assert not internet & inside


@pytest.mark.system
def test_nginx_accepts_the_changed_file(tmp_path: Path, private: Path) -> None:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")
    if not program:
        pytest.skip("needs nginx")
    places = {
        "/etc/nginx/tls/": f"{private}/nginx/",
        "/run/nginx.pid": str(tmp_path / "pid"),
        "/var/cache/nginx": str(tmp_path),
        # `nginx -t` also tries to listen, which needs privileges for these ports.
        "listen 443 ssl": f"listen 127.0.0.1:{free_port()} ssl",
        "listen 8443 ssl": f"listen 127.0.0.1:{free_port()} ssl",
    }
    (tmp_path / "nginx.conf").write_text(changed(nginx_for_compose(), places))
    command = [program, "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    tested = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert tested.returncode == 0, tested.stderr


def test_nginx_passes_on_data_provider_endpoints_with_limited_bodies_alone() -> None:
    internet = nginx_for_compose().split("listen 443")[1].split("listen 8443")[0]
    proxied = re.findall(r"location = (\S+) \{[^}]*proxy_pass", internet)
    assert sorted(proxied) == [f"{PREFIX}delete", f"{PREFIX}get"]
    assert re.findall(r"client_max_body_size (\d+)m;", nginx_for_compose()) == [str(LARGEST_BODY // 1024**2)]
    # A request body from the internet is kept in memory as a whole.
    sizes = re.findall(r"client_(?:max_body|body_buffer)_size (\S+);", internet)
    assert sizes == ["128k", "128k"]
