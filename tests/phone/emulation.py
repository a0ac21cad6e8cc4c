"""A phone's userland on this machine: Debian for 64-bit Arm, as proot-distro gives it in Termux, under qemu.

    python -m tests.phone.emulation ROOT COMMAND...

runs a program in it. Needs root, debootstrap, qemu-user-static, and Linux 6.7 or newer: there a user namespace has
programs for foreign processors (binfmt_misc) of its own, so that nothing changes for the rest of the machine.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

SUITE = "bookworm"
PACKAGES = "git,python3,python3-venv,ca-certificates"  # what README tells to install
QEMU = "/usr/bin/qemu-aarch64-static"
# the first bytes of an ELF file for this processor, and which of their bits count: /usr/lib/binfmt.d/qemu-aarch64.conf
MAGIC = rb"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
NEWNS, NEWUSER = 0x20000, 0x10000000  # <linux/sched.h>
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000  # <linux/mount.h>
PR_SET_PDEATHSIG = 1
CERTIFICATES = "usr/local/share/certificates.pem"  # this machine's, which a proxy of its network may need

_libc = ctypes.CDLL(None, use_errno=True)


def missing() -> str | None:
    """Return the reason why no phone can be emulated here; None if one can."""
    if os.geteuid() != 0:
        return "it needs root"
    if not Path(QEMU).exists():
        return f"{QEMU} is missing (package qemu-user-static)"
    if shutil.which("debootstrap") is None:
        return "debootstrap is missing (package debootstrap)"
    return None


def build(root: Path, log: Path) -> None:
    """A fresh Debian in `root`, unless it is there. Takes some minutes; raises CalledProcessError."""
    built = root.with_name("built")
    if built.exists():
        return
    shutil.rmtree(root, ignore_errors=True)
    with log.open("ab") as output:
        first = [
            "debootstrap",
            "--foreign",
            "--arch=arm64",
            "--variant=minbase",
            f"--include={PACKAGES}",
            SUITE,
            str(root),
        ]
        subprocess.run(first, stdout=output, stderr=output, check=True)
        if (root / "proc").is_symlink():
            (root / "proc").unlink()
            (root / "proc").mkdir()
        run(root, "/debootstrap/debootstrap", "--second-stage", log=log)
    shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
    bundle = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt"
    shutil.copyfile(bundle, root / CERTIFICATES)
    built.touch()


def run(root: Path, *command: str, log: Path) -> None:
    """Run a program in `root` to its end. Raises CalledProcessError."""
    with log.open("ab") as output:
        subprocess.run(inside(root, *command), stdout=output, stderr=output, check=True)


def inside(root: Path, *command: str) -> list[str]:
    """The command of this machine that runs a program in `root`, with the network of whoever starts it."""
    return [sys.executable, str(Path(__file__).resolve()), str(root), *command]


def enter(root: Path, command: list[str]) -> None:
    """Become the program; the parent has to say whose users the namespace has, and is told when it is there."""
    _check(_libc.unshare(NEWUSER | NEWNS), "unshare")
    yield_to_parent()
    for source, target, kind, flags in (
        ("none", "/", None, MS_REC | MS_PRIVATE),
        ("binfmt_misc", "/proc/sys/fs/binfmt_misc", b"binfmt_misc", 0),
        ("/proc", f"{root}/proc", None, MS_BIND | MS_REC),
        ("/dev", f"{root}/dev", None, MS_BIND | MS_REC),
    ):
        _check(_libc.mount(source.encode(), target.encode(), kind, flags, None), f"mount {target}")
    rule = b":".join((b"", b"qemu-aarch64", b"M", b"", MAGIC, MASK, QEMU.encode(), b"F"))
    Path("/proc/sys/fs/binfmt_misc/register").write_bytes(rule)
    os.chroot(root)
    os.chdir("/")
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PIP_CERT": f"/{CERTIFICATES}",
        "container": "lxc",  # so debootstrap does not try to make devices, which a user namespace may not
    }
    os.execvpe(command[0], command, environment)


def yield_to_parent() -> None:
    """Stop until the parent has mapped our users."""
    os.kill(os.getpid(), signal.SIGSTOP)


def _check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def main() -> int:
    root, *command = sys.argv[1:]
    child = os.fork()
    if child == 0:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        try:
            enter(Path(root), command)
        except OSError as error:
            print(f"error: no phone can be emulated here: {error}", file=sys.stderr)
        os._exit(125)
    os.waitpid(child, os.WUNTRACED)
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{child}/{name}").write_text("0 0 65536")
    os.kill(child, signal.SIGCONT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the program
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
