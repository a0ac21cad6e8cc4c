"""The installation on a phone: every requirement of the base is pure Python, or there is a wheel for its processor.

A phone has no compiler. pip is asked for wheels alone, for Debian's userland on 64-bit Arm, whatever machine this is;
it evaluates markers for the machine it runs on, so they are evaluated here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, files, requires
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.lan

PLATFORMS = [f"manylinux_{version}_aarch64" for version in ("2_17", "2_27", "2_28")] + ["manylinux2014_aarch64"]
SECONDS = 300
NO_ANSWER = "NewConnectionError|ConnectTimeout|ReadTimeout|Name or service not known|Temporary failure|ProxyError"


def phone(python: str) -> dict[str, str]:
    """Return the environment that markers are evaluated with there."""
    return {
        **{key: str(value) for key, value in default_environment().items()},
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "aarch64",
        "os_name": "posix",
        "python_version": python,
        "python_full_version": f"{python}.2",
    }


def needed(distribution: str, extras: set[str], python: str) -> Iterator[Requirement]:
    """The requirements that apply on the phone."""
    for line in requires(distribution) or ():
        requirement = Requirement(line)
        environments = [{**phone(python), "extra": extra} for extra in extras or {""}]
        if requirement.marker is None or any(requirement.marker.evaluate(each) for each in environments):
            yield requirement


def closure(python: str) -> dict[str, str]:
    """Name -> versions, of all that is installed: ours, what they need, and so on."""
    versions: dict[str, str] = {}
    todo, seen = [("cellmind", frozenset[str]())], set()
    while todo:
        distribution, extras = todo.pop()
        if (distribution, extras) in seen:
            continue
        seen.add((distribution, extras))
        try:
            found = list(needed(distribution, set(extras), python))
        except PackageNotFoundError:
            continue  # not installed on this machine, and so of no use here: what it needs is unknown
        for requirement in found:
            name = canonicalize_name(requirement.name)
            versions[name] = ",".join(filter(None, (versions.get(name), str(requirement.specifier))))
            todo.append((name, frozenset(requirement.extras)))
    return versions


def is_pure(distribution: str) -> bool:
    """Return whether it is Python alone, as it is installed here."""
    try:
        return not any(
            file.suffix in (".so", ".dylib", ".pyd") or file.name == "p2pd" for file in files(distribution) or ()
        )
    except PackageNotFoundError:
        return False


@pytest.mark.parametrize("python", ["3.13"])  # of Debian 13
def test_every_requirement_has_a_wheel_for_a_phone(tmp_path: Path, python: str) -> None:
    wanted = closure(python)
    compiled = {name: versions for name, versions in wanted.items() if not is_pure(name)}
    assert {"torch", "hivemind", "numpy", "sentencepiece", "grpcio-tools"} <= set(compiled)
    assert not any("nvidia" in name or "cuda" in name for name in wanted), "several GB that no phone can use"
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--retries", "0", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", python, "--ignore-installed"]
    command += ["--target", str(tmp_path), "--report", str(tmp_path / "report.json")]
    command += [part for platform in PLATFORMS for part in ("--platform", platform)]
    command += [f"{name}{versions}" for name, versions in compiled.items()]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        pytest.skip(f"the package index took more than {SECONDS} s")
    if asked.returncode and re.search(NO_ANSWER, asked.stderr):
        pytest.skip("no package index answers here")
    assert asked.returncode == 0, asked.stderr[-2000:]
