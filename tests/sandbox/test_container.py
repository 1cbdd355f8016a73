"""The container that is asked for, field by field, and what is put into it."""

from __future__ import annotations

import io
import tarfile

from kimicode.sandbox.container import HOME, Mount, archive, container_spec, passwd_of, with_user
from kimicode.sandbox.reap import Owner, labels, orphaned
from kimicode.sandbox.runner import load_limits

MIB = 1 << 20


def test_the_container_is_exactly_this() -> None:
    limits = load_limits()
    spec = container_spec(
        image="img",
        argv=["python3", "runner"],
        user=(61000, 61000),
        env={"HOME": HOME},
        mounts=[Mount("/s/w", "/home/me/r", True), Mount("/s/objs", "/s/objs")],
        limits=limits,
        labels={"kimicode.run": "r1"},
        cpus=2,
    )
    assert spec == {
        "Image": "img",
        "Entrypoint": ["python3", "runner"],
        "Cmd": [],
        "User": "61000:61000",
        "WorkingDir": "/",
        "Hostname": "kimicode",
        "Env": ["HOME=/home/kimicode"],
        "Labels": {"kimicode.run": "r1"},
        "Healthcheck": {"Test": ["NONE"]},
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "HostConfig": {
            "NetworkMode": "none",
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "PidsLimit": 1024,
            "Memory": 4096 * MIB,
            "MemorySwap": 4096 * MIB,
            "NanoCpus": 2_000_000_000,
            "Ulimits": [
                {"Name": "nofile", "Soft": 4096, "Hard": 4096},
                {"Name": "fsize", "Soft": 4096 * MIB, "Hard": 4096 * MIB},
                {"Name": "core", "Soft": 0, "Hard": 0},
            ],
            "Tmpfs": {"/tmp": f"rw,exec,nosuid,nodev,size={2048 * MIB},mode=1777"},
            "Mounts": [
                {"Type": "bind", "Source": "/s/w", "Target": "/home/me/r", "ReadOnly": False},
                {"Type": "bind", "Source": "/s/objs", "Target": "/s/objs", "ReadOnly": True},
            ],
            "LogConfig": {"Type": "none", "Config": {}},
            "IpcMode": "private",
            "ShmSize": 256 * MIB,
            "AutoRemove": True,
            "Init": False,
            "Privileged": False,
            "ReadonlyRootfs": False,
            "RestartPolicy": {"Name": "no"},
        },
    }


def test_home_and_passwd_are_put_into_the_container() -> None:
    passwd = b"root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n"
    assert with_user(passwd, (1000, 1000)) == passwd
    entry = b"kimicode:x:61000:61000:kimicode:/home/kimicode:/bin/sh\n"
    assert with_user(passwd, (61000, 61000)) == passwd + entry
    with tarfile.open(fileobj=io.BytesIO(archive((61000, 61000), passwd, ["/root/src"]))) as tar:
        members = tar.getmembers()
    told = {m.name: (m.isdir(), oct(m.mode), m.uid) for m in members}
    assert told["home/kimicode"] == (True, "0o755", 61000)
    assert told["root"] == (True, "0o711", 0) and told["etc/passwd"] == (False, "0o644", 0)
    assert b"kimicode:x:61000" in passwd_of(archive((61000, 61000), passwd, []))
    assert passwd_of(b"no tar") == b""


def test_only_the_provably_dead_are_orphans() -> None:
    here = Owner(10, "500", "boot-1", "host/pid:[1]")
    dead = {"alive": lambda pid: False, "started": lambda pid: None}
    running = {"alive": lambda pid: True, "started": lambda pid: "500"}
    recycled = {"alive": lambda pid: True, "started": lambda pid: "900"}
    unknown = {"alive": lambda pid: True, "started": lambda pid: None}
    mine = labels(here, "run")
    assert orphaned(mine, here, **dead) and orphaned(mine, here, **recycled)
    assert not orphaned(mine, here, **running) and not orphaned(mine, here, **unknown)
    assert orphaned({**mine, "kimicode.boot": "boot-0"}, here, **running)
    for change in ({"kimicode.host": "other/pid:[1]"}, {"kimicode.pid": "x"}, {"kimicode.boot": ""}):
        assert not orphaned({**mine, **change}, here, **dead), change
    assert not orphaned({}, here, **dead)
