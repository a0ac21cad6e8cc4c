"""How fast a model answers:  python -m benchmarks.generate --corpus FILE --threads 1

The guide's model (23 M parameters, float32, random weights: arithmetic does not care) and a tokenizer trained on the
corpus, as one checkpoint folder. It is asked for the likeliest tokens by `minigpt.generate`, by transformers on that
folder, and by llama.cpp on its f16 GGUF (`pip install xllamacpp`, no AVX-512 in it; left out where it is missing).
Each way runs in a process of its own, all of them in turn, several times; the best counts.

Prints tokens/s after a prompt of 8 tokens, the processor's time for a token, which a busy machine spoils least, and the
time to the first token of a prompt of 200, all after loading and one warm-up; writes generate.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import tokenizer
from minigpt import START, checkpoint
from minigpt.export import write_gguf
from minigpt.generate import Sampling, generate
from minigpt.manifest import Progress
from minigpt.model import MiniGPT
from minigpt.settings import Settings

WAYS = ("ours", "transformers", "llama.cpp f16")
SHORT, LONG = 8, 200  # tokens in a prompt
GGUF = "model.gguf"

Ask = Callable[[list[int], int], float]  # ids and how many more: seconds, of what came after the first of them


def make_folder(root: Path, corpus: Path) -> Path:
    """A checkpoint of the guide's size, and its GGUF beside it."""
    settings = Settings()
    model_file = tokenizer.train(corpus, output_dir=root, vocab_size=settings.tokenizer.vocab_size, report=print)
    torch.manual_seed(0)
    pieces = tokenizer.load(model_file).get_piece_size()
    model = MiniGPT.from_settings(settings.model, pieces, settings.training.dataset.seq_len)
    parameters = model.state_dict()
    anchor = checkpoint.parameter_hash(parameters)
    progress = Progress(run="benchmark", run_id="benchmark-000000000000", round=1, samples=256, step=64, anchor=anchor)
    folder = checkpoint.save(
        root,
        progress,
        parameters=parameters,
        model_config=model.hugging_face_config(),
        settings=settings,
        tokenizer_model=model_file,
    )
    write_gguf(checkpoint.read(folder), root / GGUF, "f16")
    return folder


def ours(folder: Path) -> Ask:
    model = checkpoint.read(folder).build_model()

    def ask(ids: list[int], count: int) -> float:
        answer = generate(model, ids, max_new_tokens=count, sampling=Sampling(temperature=0))
        next(answer)
        started = time.perf_counter()
        assert len(list(answer)) == count - 1, "a model that ends its text early cannot be measured"
        return time.perf_counter() - started

    return ask


def transformers(folder: Path) -> Ask:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)

    def continued(ids: torch.Tensor, count: int) -> float:
        started = time.perf_counter()
        model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            pad_token_id=0,
        )
        return time.perf_counter() - started

    def ask(ids: list[int], count: int) -> float:
        prompt = torch.tensor([ids])
        first = continued(prompt, 1)
        return continued(prompt, count) - first if count > 1 else 0.0

    return ask


def llama_cpp(folder: Path) -> Ask:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(folder.parent.parent / GGUF)
    params.n_ctx, params.n_parallel, params.warmup = 256, 1, True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = torch.get_num_threads()
    params.verbosity = -1
    server = xllamacpp.Server(params)

    def ask(ids: list[int], count: int) -> float:
        wanted = {"prompt": ids, "n_predict": count, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
        timings = server.handle_completions(wanted)["timings"]
        assert timings["predicted_n"] == count
        return float(timings["predicted_ms"]) / 1000  # by its own clock, the first token not counted

    return ask


def measure(way: str, folder: Path, tokens: int, repeats: int) -> dict[str, Any]:
    """In this process: tokens a second, the processor's milliseconds a token, milliseconds to the first token."""
    ask = {"ours": ours, "transformers": transformers, "llama.cpp f16": llama_cpp}[way](folder)
    chance = random.Random(0)
    prompt = [START, *chance.choices(range(4, 2000), k=LONG - 1)]
    ask(prompt[:SHORT], 2)
    speeds, costs, firsts = [], [], []
    for _ in range(repeats):
        began, used = time.perf_counter(), time.process_time()
        ask(prompt, 1)
        firsts.append(1000 * (time.perf_counter() - began))
        first_used = time.process_time() - used
        speeds.append((tokens - 1) / ask(prompt[:SHORT], tokens))
        costs.append(1000 * (time.process_time() - used - first_used) / tokens)
    return {"way": way, "tokens_per_second": max(speeds), "processor_ms": min(costs), "first_ms": min(firsts)}


def better(one: dict[str, Any], other: dict[str, Any] | None) -> dict[str, Any]:
    """The best of each figure."""
    if other is None:
        return one
    lowest = {key: min(one[key], other[key]) for key in ("processor_ms", "first_ms")}
    return {**one, **lowest, "tokens_per_second": max(one["tokens_per_second"], other["tokens_per_second"])}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generate", description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, help="UTF-8, one text a line, for the tokenizer")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="(default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=100, help="of an answer (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="of each way and time (default: %(default)s)")
    parser.add_argument("--times", type=int, default=3, help="that all ways take turns (default: %(default)s)")
    parser.add_argument("--only", choices=WAYS, help="one way, in this process, on --folder, as JSON")
    parser.add_argument("--folder", type=Path, help="a checkpoint with its GGUF two folders up")
    parser.add_argument("--output", type=Path, default=Path("generate.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.only:
        print(json.dumps(measure(arguments.only, arguments.folder, arguments.tokens, arguments.repeats)))
        return
    if arguments.corpus is None:
        parser.error("--corpus is needed to make a tokenizer")
    ways = [way for way in WAYS if way != "llama.cpp f16" or importlib.util.find_spec("xllamacpp")]
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="cellmind-generate-") as root:
        folder = make_folder(Path(root), arguments.corpus)
        for _ in range(arguments.times):
            for way in ways:
                options = ["--threads", arguments.threads, "--tokens", arguments.tokens, "--repeats", arguments.repeats]
                command = [sys.executable, "-m", "benchmarks.generate", "--only", way, "--folder", folder, *options]
                done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"{way}: {done.stderr.strip().splitlines()[-1]}")
                results[way] = better(json.loads(done.stdout.splitlines()[-1]), results.get(way))
    arguments.output.write_text(json.dumps(list(results.values()), indent=2))
    print(f"\n{arguments.threads} threads\n")
    print(f"| way | tokens/s | ours ÷ it | ms of processor a token | ms to the first of {LONG} |")
    print("|" + " --- |" * 5)
    for way, result in results.items():
        speed, ratio = result["tokens_per_second"], results["ours"]["tokens_per_second"] / result["tokens_per_second"]
        print(f"| {way} | {speed:.0f} | {ratio:.2f} | {result['processor_ms']:.1f} | {result['first_ms']:.0f} |")


if __name__ == "__main__":
    main()
