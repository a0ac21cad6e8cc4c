"""CellMind's packages and what they need. A phone installs the base; what only some users need is an extra."""

from setuptools import find_packages, setup

GGUF = ["gguf>=0.17,<1"]  # what python -m minigpt.export needs
# what opens .xlsx, .ods and Parquet for pandas: 50 MB that a phone does not need, since exports are text
TABLES = ["python-calamine>=0.3,<1", "pyarrow>=17"]
TENSORBOARD = ["tensorboard>=2.18"]  # what python -m peer --tensorboard needs

setup(
    name="cellmind",
    version="0.2.0",
    description="The devices on one Wi-Fi train a small GPT together on a group chat",
    python_requires=">=3.11,<3.14",  # hivemind forks its processes, which 3.14 no longer does by default
    packages=find_packages(include=["bootstrap*", "data*", "minigpt*", "peer*", "tokenizer*"]),
    package_data={"peer.page": ["static/*", "static/uplot/*"]},  # what browsers load
    install_requires=[
        # from 2.11 on aarch64 wheels for Linux bring several GB of CUDA packages, and 2.10 is 140 MB larger: a phone
        "torch>=2.9,<2.10; sys_platform == 'linux' and platform_machine == 'aarch64'",
        "torch>=2.9,<2.14; sys_platform != 'linux' or platform_machine != 'aarch64'",
        "hivemind>=1.1.12,<1.2",  # DHT, P2P, averaging
        "cryptography>=41",  # signed notices; hivemind brings it
        "numpy>=2,<2.4",  # hivemind's 8-bit codecs break on 2.4
        "zeroconf>=0.130",  # finding peers on the LAN
        "ifaddr>=0.2",  # naming this device's addresses; zeroconf brings it
        "segno>=1.6,<2",  # an invite as a QR code, on whatever device invites: 0.3 MB and nothing else
        "sentencepiece>=0.2",  # tokenizer
        "pandas>=2.2.3,<4",  # chats as tables; 2.2.3 is the first with wheels for Python 3.13
        "safetensors>=0.5",  # model files
        "pydantic>=2.7,<3",  # settings and their checks
        "json5>=0.9.25",  # comments in the settings
        "emoji>=2.10",  # emoji in chats, families and flags as one
        "rich>=13.7",  # terminal output
        # the web server: pure Python and half a megabyte; uvicorn brings h11, whose states tell what a client owes
        *("starlette>=1,<2", "uvicorn>=0.34,<1", "h11>=0.14,<1"),
        "psutil>=5.9; sys_platform == 'darwin'",  # battery and memory of a Mac; Linux has /sys and /proc to read
    ],
    extras_require={
        "dev": [
            *("pytest>=8", "pytest-xdist>=3.6", "ruff>=0.9", "mypy>=1.14", "transformers>=5,<6", "openai>=2,<4"),
            # llama.cpp, to open what we export; elsewhere its tests are skipped
            "xllamacpp>=2026.10; sys_platform == 'linux' and platform_machine == 'x86_64'",
            # the page's tests, in the distribution's own Chromium; where that is missing they are skipped
            *("playwright>=1.49,<2", "axe-playwright-python>=0.1.7,<1"),
            *(GGUF + TABLES + TENSORBOARD),
        ],
        "benchmarks": ["matplotlib>=3.9"],  # draws time_to_loss.png
        "gguf": GGUF,
        "tables": TABLES,
        "tensorboard": TENSORBOARD,
    },
)
