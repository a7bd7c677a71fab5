#!/usr/bin/env python3
"""Give every Redis user a password, and write the file of users as the server takes it.

Reads users.acl beside this file, `own-users.acl` of the same form in the folder that it writes to,
for the producers of whoever runs this server, and the passwords that an earlier run wrote.
Writes into one folder: `users.acl`, one line for each user with the hash of the password, and
`<user>.env`, the password in the address that this one user connects to. Run again, it keeps every
password that it finds, so an upgrade of the rights changes no password. `--new USER` makes a new
one. A running server takes the file by ACL LOAD.

Needs Python's standard library alone: it runs before anything of the suite is installed.
"""

from __future__ import annotations

import argparse
import grp
import hashlib
import os
import secrets
import shutil
import sys
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

SOURCE = Path(__file__).with_name("users.acl")
#: Outside of the checkout, so that no upgrade takes them away.
OWN_USERS = "own-users.acl"
#: Those of the suite who use redis-cli, which does not take the address of a socket together with
#: a password. Users of one's own may, too, and so may clients in other languages.
PEOPLE = ("operator", "administrator")
PASSWORD_BYTES = 32


def users_in(file: Path) -> dict[str, list[str]]:
    """Each user of a file of the readable form, with the words that say what it may; none without.

    Raises:
        ValueError: a line belongs to no user, or a user is there twice.
    """
    found: dict[str, list[str]] = {}
    words_of_user: list[str] | None = None
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if line[0].isspace():
            if words_of_user is None:
                raise ValueError(f"{file}: rights of nobody: {line.strip()}")
            words_of_user += words
        elif words[0] != "user" or len(words) < 3 or words[1] in found:
            raise ValueError(f"{file}: not the beginning of a user: {line}")
        else:
            words_of_user = found[words[1]] = words[2:]
    return found


def server_line(name: str, rights: list[str], password: str | None) -> str:
    """A user as the server takes it. The password is random, so that one round of a hash is enough.

    A hash that can be read is still of no use to whoever has it: 256 bits are not guessed.
    """
    first, *others = rights
    hashed = [] if password is None else ["#" + hashlib.sha256(password.encode()).hexdigest()]
    return " ".join(["user", name, first, *hashed, *others])


def password_in(env_file: Path) -> str | None:
    """The password that an earlier run wrote, if there is one."""
    if not env_file.exists():
        return None
    for line in env_file.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        if name == "REDIS_URL":
            found = urlsplit(value).password
            return None if found is None else unquote(found)
    return None


def env_lines(name: str, password: str, socket: str, *, apart: bool) -> str:
    """What the user needs to connect, as systemd and a shell read it; `apart` as redis-cli does."""
    lines = [f"REDIS_URL=unix://{name}:{password}@{quote(socket)}"]
    if apart:
        lines.append(f"REDISCLI_AUTH={password}")
    return "\n".join(lines) + "\n"


def write(path: Path, text: str, *, mode: int, group: str | None = None) -> bool:
    """Put `text` in the place of the file at once, and say whether anything changed.

    Nobody else can read it at any moment, and a power cut leaves the old file or the new one.
    """
    changed = not path.exists() or path.read_text(encoding="utf-8") != text
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if group is not None:
        shutil.chown(beside, group=group)
    beside.chmod(mode)
    beside.replace(path)
    return changed


def main() -> int:
    """Write all files; 0 when they are written, 2 for a wrong command line."""
    parser = argparse.ArgumentParser(description="Set the passwords of the Redis users.")
    parser.add_argument("--folder", type=Path, default=Path("/etc/quantum/redis"))
    parser.add_argument("--socket", default="/run/quantum-redis/redis.sock")
    parser.add_argument("--group", default="redis", help="the group that the server runs as")
    parser.add_argument(
        "--new", action="append", default=[], metavar="USER",
        help="make a new password for this user; may be given several times",
    )  # fmt: skip
    asked = parser.parse_args()
    try:
        grp.getgrnam(asked.group)
    except KeyError:
        parser.error(f"there is no group {asked.group!r}: install the server first, or say --group")

    asked.folder.mkdir(parents=True, exist_ok=True)
    try:
        known, own = users_in(SOURCE), users_in(asked.folder / OWN_USERS)
    except ValueError as wrong:
        parser.error(str(wrong))
    if twice := known.keys() & own.keys():
        parser.error(f"{asked.folder / OWN_USERS}: {min(twice)} is a user of the suite")
    if unknown := set(asked.new) - known.keys() - own.keys():
        parser.error(f"there is no user {min(unknown)!r}")

    changed, lines = [], []
    for name, rights in (known | own).items():
        password = None
        if rights[0] == "on":
            env_file = asked.folder / f"{name}.env"
            password = None if name in asked.new else password_in(env_file)
            password = password or secrets.token_hex(PASSWORD_BYTES)
            apart = name in PEOPLE or name in own
            if write(env_file, env_lines(name, password, asked.socket, apart=apart), mode=0o600):
                changed.append(env_file.name)
        lines.append(server_line(name, rights, password))
    acl = asked.folder / "users.acl"
    if write(acl, "\n".join(lines) + "\n", mode=0o640, group=asked.group):
        changed.append(acl.name)
    sys.stdout.write(f"{asked.folder}: {', '.join(changed) or 'nothing'} changed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
