"""Measure how fast a model answers:  python -m benchmarks.generate --corpus FILE --threads 1

A model that was trained (--checkpoint FOLDER), or the guide's 23 M parameters with random weights and a tokenizer
trained on the corpus. Random weights soon say one word over and over, and `minigpt.generate` guesses what repeats
itself: how fast it is with a model that has learnt something only such a model tells.

The folder is asked for the likeliest tokens after the beginnings of some lines of the corpus, by `minigpt.generate`,
with and without its guesses, by transformers, and by llama.cpp on its f16 GGUF (xllamacpp, no AVX-512 in
it; left out where it is missing). Each way runs in a process of its own, all in turn, several times; the best counts.

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
from itertools import islice
from pathlib import Path
from typing import Any

import torch

import tokenizer
from minigpt import START, checkpoint
from minigpt.export import write_gguf
from minigpt.inference import sampling
from minigpt.inference.decoding import InferenceModel
from minigpt.inference.sampling import Sampling, generate
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from tests.tiny import save_model

SHORT, LONG = 8, 200  # tokens in a prompt
PROMPTS = 8

# ids and how many more: how many came after the first of them, and seconds for these
Ask = Callable[[list[int], int], tuple[int, float]]


def make_folder(root: Path, corpus: Path) -> Path:
    """A checkpoint of the guide's size."""
    settings = Settings()
    model_file = tokenizer.train(corpus, output_dir=root, vocab_size=settings.tokenizer.vocab_size, report=print)
    torch.manual_seed(0)
    pieces = tokenizer.load(model_file).get_piece_size()
    model = MiniGPT.from_settings(settings.model, pieces, settings.training.dataset.seq_len)
    return save_model(root, model_file, model, settings=settings)


def ours(folder: Path) -> Ask:
    model = InferenceModel(checkpoint.read(folder).build_model())

    def ask(ids: list[int], count: int) -> tuple[int, float]:
        answer = generate(model, ids, max_new_tokens=count, sampling=Sampling(temperature=0))
        next(answer, None)
        started = time.perf_counter()
        return len(list(answer)), time.perf_counter() - started

    return ask


def ours_without_guesses(folder: Path) -> Ask:
    sampling.what_followed = lambda ids, count: []
    return ours(folder)


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

    def ask(ids: list[int], count: int) -> tuple[int, float]:
        prompt = torch.tensor([ids])
        first = continued(prompt, 1)
        return count - 1, continued(prompt, count) - first if count > 1 else 0.0

    return ask


def llama_cpp(folder: Path) -> Ask:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.n_ctx, params.n_parallel, params.warmup = 256, 1, True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = torch.get_num_threads()
    params.verbosity = -1
    with tempfile.TemporaryDirectory(prefix="cellmind-generate-") as root:
        gguf = Path(root) / "model.gguf"
        write_gguf(checkpoint.read(folder), gguf, "f16")
        params.model.path = str(gguf)
        server = xllamacpp.Server(params)

    def ask(ids: list[int], count: int) -> tuple[int, float]:
        wanted = {"prompt": ids, "n_predict": count, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
        timings = server.handle_completions(wanted)["timings"]
        assert timings["predicted_n"] == count
        return count - 1, float(timings["predicted_ms"]) / 1000  # by its own clock, the first token not counted

    return ask


WAYS = {
    "ours": ours,
    "ours without guesses": ours_without_guesses,
    "transformers": transformers,
    "llama.cpp f16": llama_cpp,
}


def make_prompts(folder: Path, corpus: Path) -> list[list[int]]:
    """The beginnings of some lines of the corpus, SHORT ids each; the last one is LONG."""
    sentencepiece = checkpoint.read(folder).load_tokenizer()
    with corpus.open(encoding="utf-8") as file:
        lines = [sentencepiece.encode(line.strip()) for line in islice(file, 2000)]
    long = [id for line in lines for id in line]
    lines = [line for line in lines if len(line) >= SHORT - 1]
    if len(lines) < PROMPTS or len(long) < LONG:
        sys.exit(f"{corpus} has too few long lines to ask with")
    chosen = random.Random(0).sample(lines, PROMPTS)
    return [*([START, *line[: SHORT - 1]] for line in chosen), [START, *long[: LONG - 1]]]


def measure(way: str, folder: Path, corpus: Path, tokens: int, repeats: int) -> dict[str, Any]:
    """Return, of this process, tokens a second, processor milliseconds a token, milliseconds to the first token."""
    ask = WAYS[way](folder)
    *prompts, long = make_prompts(folder, corpus)
    ask(prompts[0], 2)
    speeds, costs, firsts = [], [], []
    for _ in range(repeats):
        began = time.perf_counter()
        ask(long, 1)
        firsts.append(1000 * (time.perf_counter() - began))
        used = time.process_time()
        came, seconds = map(sum, zip(*(ask(prompt, tokens) for prompt in prompts)))
        if not came:
            sys.exit("the model ends all its answers at once: take one that was trained for longer")
        speeds.append(came / seconds)
        costs.append(1000 * (time.process_time() - used) / (came + len(prompts)))
    return {"way": way, "tokens_per_second": max(speeds), "processor_ms": min(costs), "first_ms": min(firsts)}


def better(one: dict[str, Any], other: dict[str, Any] | None) -> dict[str, Any]:
    """The best of each figure."""
    if other is None:
        return one
    lowest = {key: min(one[key], other[key]) for key in ("processor_ms", "first_ms")}
    return {**one, **lowest, "tokens_per_second": max(one["tokens_per_second"], other["tokens_per_second"])}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generate", description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="UTF-8, one text a line: to ask with")
    parser.add_argument("--checkpoint", type=Path, help="a folder with a trained model (default: random weights)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="(default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=100, help="of an answer (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="of each way and time (default: %(default)s)")
    parser.add_argument("--times", type=int, default=3, help="that all ways take turns (default: %(default)s)")
    parser.add_argument("--only", choices=WAYS, help="one way, in this process, on --checkpoint, as JSON")
    parser.add_argument("--output", type=Path, default=Path("generate.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.only:
        asked = arguments.checkpoint, arguments.corpus, arguments.tokens, arguments.repeats
        print(json.dumps(measure(arguments.only, *asked)))
        return
    ways = [way for way in WAYS if way != "llama.cpp f16" or importlib.util.find_spec("xllamacpp")]
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="cellmind-generate-") as root:
        folder = arguments.checkpoint or make_folder(Path(root), arguments.corpus)
        for _ in range(arguments.times):
            for way in ways:
                options = ["--threads", arguments.threads, "--tokens", arguments.tokens, "--repeats", arguments.repeats]
                options += ["--corpus", arguments.corpus, "--checkpoint", folder]
                command = [sys.executable, "-m", "benchmarks.generate", "--only", way, *options]
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
