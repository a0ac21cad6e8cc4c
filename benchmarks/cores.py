"""Commands side by side, each on a core of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

AVX2_ALONE = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}  # for PyTorch, and for its products
LOOK_SECONDS = 1.0


def on_all_cores(commands: Sequence[Sequence[str | Path]], avx2: bool) -> Iterator[tuple[int, str]]:
    """Run Python with each of some arguments, as many at once as there are cores, on one thread each.

    Yield the number and the output of each as soon as it has ended. Where one fails, the program ends.

    :param avx2: use no more of the processor than AVX2
    """
    waiting, running = list(enumerate(commands)), dict[int, tuple[int, subprocess.Popen[str]]]()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **(AVX2_ALONE if avx2 else {})}
    while waiting or running:
        for core in sorted(os.sched_getaffinity(0)):
            if core in running and running[core][1].poll() is not None:
                number, process = running.pop(core)
                output = process.communicate()[0]
                if process.returncode:
                    sys.exit(f"{' '.join(map(str, commands[number]))} has ended with {process.returncode}")
                yield number, output
            if core not in running and waiting:
                number, command = waiting.pop(0)
                pinned = ["taskset", "--cpu-list", str(core), sys.executable, *command]
                running[core] = number, subprocess.Popen(pinned, stdout=subprocess.PIPE, text=True, env=environment)
        time.sleep(LOOK_SECONDS)
