"""python -m minigpt.export."""

import errno
import json
import os
import random
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import tokenizer
from minigpt import END_OF_TEXT, START
from minigpt.export import main
from minigpt.inference.decoding import InferenceModel
from minigpt.inference.sampling import Sampling, generate
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from tests.tiny import LINES, SETTINGS, build_model, save_model, seal

gguf: Any = pytest.importorskip("gguf")


def export(*arguments: str) -> Path:
    assert main(["--to", "gguf", "model.gguf", *arguments]) == 0
    return Path("model.gguf")


def fields(path: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}


def tensors(path: Path) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


# -- what is in the file


def test_file_describes_the_model(folder: Path, model: MiniGPT) -> None:
    found = fields(export())
    assert found["general.architecture"] == "llama"
    assert found["general.name"] == "cellmind-0123456789ab"
    config = model.hugging_face_config()
    assert {name.removeprefix("llama."): value for name, value in found.items() if name.startswith("llama.")} == {
        "vocab_size": config["vocab_size"],
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "feed_forward_length": config["intermediate_size"],
        "block_count": config["num_hidden_layers"],
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": config["num_key_value_heads"],
        "attention.layer_norm_rms_epsilon": pytest.approx(config["rms_norm_eps"]),
        "rope.freq_base": config["rope_theta"],
        "rope.dimension_count": 16,
    }


def test_vocabulary_is_the_tokenizers_own(folder: Path, processor: Any) -> None:
    found = {name.removeprefix("tokenizer.ggml."): value for name, value in fields(export()).items()}
    size = processor.get_piece_size()
    assert found["tokens"] == [processor.id_to_piece(id) for id in range(size)]
    assert found["scores"] == [processor.get_score(id) for id in range(size)]
    kinds = [gguf.TokenType(kind) for kind in found["token_type"]]
    assert [id for id in range(size) if kinds[id] == gguf.TokenType.BYTE] == [*filter(processor.is_byte, range(size))]
    assert kinds[:4] == [gguf.TokenType.UNKNOWN, *3 * [gguf.TokenType.CONTROL]]
    tags = [found["tokens"][id] for id in range(size) if kinds[id] == gguf.TokenType.USER_DEFINED]
    assert tags == list(tokenizer.TAGS)
    ids = [found[f"{name}_token_id"] for name in ("unknown", "bos", "eos", "padding")]
    assert ids == [0, 1, 2, 3]
    assert (found["add_bos_token"], found["add_eos_token"], found["add_space_prefix"]) == (True, False, False)


@pytest.mark.parametrize(("kind", "tolerance"), [("f32", 0), ("f16", 2**-11), ("q8_0", 2**-7)])
def test_numbers_are_the_models_own(folder: Path, model: MiniGPT, kind: str, tolerance: float) -> None:
    found = tensors(export("--type", kind))
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, model.num_layers)
    assert len(found) == len(list(model.parameters())), "and no matrix for the output: it is the embedding"
    for name, parameter in model.named_parameters():
        tensor = found[names.get_name(name, (".weight",))]
        expected = parameter.detach().numpy()
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(expected.shape)
        if "q_proj" in name or "k_proj" in name:  # pairs (0, 1), (2, 3) … of each head back to (i, i + hs/2)
            rows, columns = values.shape
            values = values.reshape(model.nhead, -1, 2, columns).swapaxes(1, 2).reshape(rows, columns)
        assert np.abs(values - expected).max() <= tolerance * np.abs(expected).max()
        assert tensor.tensor_type.name == ("F32" if parameter.dim() == 1 else kind.upper())


def test_rows_that_have_no_whole_blocks_stay_float16(tmp_path: Path, tokenizer_model: Path, processor: Any) -> None:
    settings = Settings.model_validate({**SETTINGS.model_dump(), "model": {"d_model": 24, "nhead": 2, "num_layers": 1}})
    odd = build_model(processor.get_piece_size(), settings=settings)
    saved = save_model(tmp_path, tokenizer_model, odd, settings=settings)
    target = tmp_path / "model.gguf"
    assert main(["--to", "gguf", str(target), "--type", "q8_0", "--checkpoint", str(saved)]) == 0
    found = tensors(target)
    assert found["blk.0.attn_q.weight"].tensor_type.name == "F16"
    assert found["blk.0.ffn_down.weight"].tensor_type.name == "Q8_0"  # its rows have 64 numbers


# -- llama.cpp itself


class LlamaCpp:
    """llama.cpp's own server with a model in it, on loopback."""

    def __init__(self, path: Path):
        xllamacpp = pytest.importorskip("xllamacpp", reason="needs llama.cpp: pip install xllamacpp")
        params = xllamacpp.CommonParams()
        params.model.path, params.n_ctx, params.n_parallel, params.verbosity = str(path), 256, 1, -1
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32  # llama.cpp's own is float16
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        self._server = xllamacpp.Server(params)

    def _ask(self, path: str, question: dict[str, Any]) -> Any:
        request = Request(f"{self._server.listening_address}{path}", json.dumps(question).encode())
        with urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def tokenize(self, text: str) -> list[int]:
        tokens: list[int] = self._ask("/tokenize", {"content": text, "add_special": True})["tokens"]
        return tokens

    def continued(self, ids: list[int], count: int, **wanted: Any) -> Any:
        """The most likely tokens, `count` of them."""
        greedy = {"n_predict": count, "temperature": 0, "repeat_penalty": 1, "return_tokens": True}
        return self._ask("/completion", {"prompt": ids, "cache_prompt": False, **greedy, **wanted})

    def log_probabilities(self, ids: list[int], vocabulary: int) -> np.ndarray:
        """Return the log-probability of every token as the one after `ids`."""
        # an answer of half a character would come without any: the last token wins, and what is said of all stays true
        answer = self.continued(ids, 1, n_probs=vocabulary, logit_bias=[[vocabulary - 1, 1000]])
        (step,) = answer["completion_probabilities"]
        found = {each["id"]: each["logprob"] for each in step["top_logprobs"]}
        return np.array([found[id] for id in range(vocabulary)])


def scrambled(count: int) -> list[str]:
    """Texts of what is in LINES, in any order, and of characters that the tokenizer has never seen."""
    chance = random.Random(0)
    characters = [*"".join(LINES), *tokenizer.TAGS, *"  \n\n\t챂힣ㅎ😀é0123", "\u200d", "<0x0A>", "<NAM", "▁"]
    return ["".join(chance.choices(characters, k=chance.randrange(1, 60))) for _ in range(count)]


def test_llama_cpp_makes_the_same_tokens(folder: Path, processor: Any) -> None:
    theirs = LlamaCpp(export())
    for text in [*LINES, "", " ", *scrambled(500)]:
        assert theirs.tokenize(text) == [START, *processor.encode(text)], text


@pytest.mark.parametrize(("kind", "tolerance"), [("f32", 1e-3), ("f16", 0.02), ("q8_0", 0.2)])
def test_llama_cpp_computes_the_same(folder: Path, model: MiniGPT, processor: Any, kind: str, tolerance: float) -> None:
    theirs = LlamaCpp(export("--type", kind))
    ids = [START, *processor.encode("생일 축하해!!")][:16]
    with torch.no_grad():
        expected = model(torch.tensor([ids]))[0].log_softmax(-1).numpy()
    for count in range(1, len(ids) + 1):
        found = theirs.log_probabilities(ids[:count], len(expected[0]))
        assert np.abs(expected[count - 1] - found).max() < tolerance, count


def continued_by_transformers(folder: Path) -> Callable[[list[int]], list[int]]:
    transformers: Any = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()

    def continued(ids: list[int]) -> list[int]:
        prompt = torch.tensor([ids])
        mask = torch.ones_like(prompt)
        row = theirs.generate(prompt, attention_mask=mask, max_new_tokens=50, do_sample=False, pad_token_id=0)[0]
        return [int(id) for id in row[len(ids) :]]

    return continued


def continued_by_llama_cpp(folder: Path, kind: str) -> Callable[[list[int]], list[int]]:
    theirs = LlamaCpp(export("--type", kind, "--checkpoint", str(folder)))
    return lambda ids: list(theirs.continued(ids, 50)["tokens"])


@pytest.mark.parametrize(
    ("continued_by", "tie"),
    [
        (continued_by_transformers, 1e-4),
        (partial(continued_by_llama_cpp, kind="f32"), 1e-3),
        (partial(continued_by_llama_cpp, kind="f16"), 0.02),
    ],
    ids=["transformers", "llama.cpp-f32", "llama.cpp-f16"],
)
def test_twenty_prompts_are_continued_by_the_same_fifty_tokens(
    tmp_path: Path,
    tokenizer_model: Path,
    processor: Any,
    monkeypatch: pytest.MonkeyPatch,
    continued_by: Callable[[Path], Callable[[list[int]], list[int]]],
    tie: float,
) -> None:
    """Up to where two tokens are as likely as each other, as far as the number format goes: `tie` nats apart."""
    monkeypatch.chdir(tmp_path)
    training = {"dataset": {"seq_len": 128}}
    settings = Settings.model_validate({**SETTINGS.model_dump(), "training": training})
    model = build_model(processor.get_piece_size(), settings=settings)
    continued = continued_by(save_model(tmp_path, tokenizer_model, model, settings=settings))
    asked = InferenceModel(model)
    for prompt in ["", *LINES, *(line[:4] for line in LINES[:9])]:
        ids = [START, *processor.encode(prompt)]
        ours = list(generate(asked, ids, max_new_tokens=50, sampling=Sampling(temperature=0)))
        theirs = continued(ids)
        differ = next((i for i, pair in enumerate(zip(ours, theirs)) if pair[0] != pair[1]), None)
        if differ is None:
            assert [*ours, END_OF_TEXT][: len(theirs)] == theirs and len(theirs) >= len(ours), prompt
        else:
            with torch.no_grad():
                logits = model(torch.tensor([ids + ours[:differ]]))[0, -1]
            assert logits[ours[differ]] - logits[theirs[differ]] < tie, prompt


# -- a file is whole or as it was


def test_earlier_file_stays_when_the_disk_fills_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("model.gguf").write_bytes(b"a good one")
    before = sorted(Path().iterdir())

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(gguf.GGUFWriter, "close", full)  # it writes what is left
    assert main(["--to", "gguf", "model.gguf"]) == 2
    assert capsys.readouterr().err == "model.gguf cannot be written: No space left on device\n"
    assert Path("model.gguf").read_bytes() == b"a good one"
    assert sorted(Path().iterdir()) == before


def test_earlier_file_is_replaced_and_nothing_left_beside_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("model.gguf").write_bytes(b"an older one")
    size = export().stat().st_size
    assert capsys.readouterr().out == f"wrote model.gguf: {size / 1e6:.1f} MB, f16\n"
    assert fields(Path("model.gguf"))["general.architecture"] == "llama"
    assert {path.name for path in Path().iterdir()} == {"checkpoints", "model.gguf"}


def test_a_link_leads_to_the_same_place_afterwards(folder: Path, tmp_path: Path) -> None:
    Path("large disk").mkdir()
    Path("model.gguf").symlink_to("large disk/model.gguf")
    export()
    assert Path("model.gguf").is_symlink() and not Path("large disk/model.gguf").is_symlink()
    assert fields(Path("large disk/model.gguf"))["general.architecture"] == "llama"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("none/model.gguf", "none/model.gguf cannot be written: No such file or directory"),
        ("checkpoints", "checkpoints is there, and is no file that could be replaced: choose another name"),
        (".", ". is there, and is no file"),
        ("/dev/null", "/dev/null is there, and is no file"),
        ("checkpoints/latest/config.json/model.gguf", "Not a directory"),
    ],
)
def test_target_that_cannot_be_written(
    folder: Path, target: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--to", "gguf", target]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and len(captured.err.splitlines()) == 1 and captured.out == ""
    assert {path.name for path in Path().iterdir()} == {"checkpoints"}


# -- what cannot be exported


def test_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--to", "gguf", "model.gguf"]) == 2
    assert capsys.readouterr().err.startswith("no checkpoint under checkpoints/ yet")
    assert main(["--to", "gguf", "model.gguf", "--checkpoint", "."]) == 2
    assert "not a whole checkpoint: training.json cannot be read" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("parameter", "why"),
    [
        (torch.ones(48), "model.norm.weight is [48], not [32]"),
        (torch.full((32,), float("nan")), "model.norm.weight in model.safetensors has impossible numbers"),
    ],
)
def test_bad_parameters(folder: Path, parameter: torch.Tensor, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    changed = {**load_file(folder / "model.safetensors"), "model.norm.weight": parameter}
    save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
    seal(folder)
    assert main(["--to", "gguf", "model.gguf", "--checkpoint", str(folder)]) == 2
    captured = capsys.readouterr()
    assert why in captured.err and len(captured.err.splitlines()) == 1
    assert not Path("model.gguf").exists()


def test_unigram_tokenizer_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = tmp_path / "textonly.txt"
    corpus.write_text("\n".join(LINES), encoding="utf-8")
    unigram = tokenizer.train(
        corpus, output_dir=tmp_path, vocab_size=390, model_type="unigram", report=lambda line: None
    )
    saved = save_model(tmp_path, unigram, build_model(tokenizer.load(unigram).get_piece_size()))
    assert main(["--to", "gguf", str(tmp_path / "model.gguf"), "--checkpoint", str(saved)]) == 2
    assert capsys.readouterr().err.startswith("llama.cpp makes other tokens with a unigram tokenizer")
    assert not list(tmp_path.glob("*.gguf*"))


def test_missing_package_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    assert main(["--to", "gguf", "model.gguf"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("writing GGUF needs one more package: pip install -e '.[gguf]'")
    assert len(line.splitlines()) == 1
