"""What kind of device this is, as far as it can be told: people look for "the phone" and "the laptop" on a page."""

from __future__ import annotations

import os
from pathlib import Path

from peer.device.power import read_device
from peer.wire import DeviceKind

OF_ANDROID = (Path("/system/bin/app_process"), Path("/data/data/com.termux"))  # in proot as well


def device_kind(sys_folder: Path = Path("/sys")) -> DeviceKind:
    """Return "phone" on Android, "laptop" where there is a battery, and "unknown" for all else."""
    if "ANDROID_ROOT" in os.environ or any(map(os.path.exists, OF_ANDROID)):
        return "phone"
    return "unknown" if read_device(sys_folder).battery is None else "laptop"
