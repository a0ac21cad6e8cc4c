"""A model, a tokenizer and texts so small that a test makes them in a moment."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

import tokenizer
from minigpt.checkpoint import file_sha256, parameter_hash, save
from minigpt.checkpoint.manifest import MANIFEST, Progress
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from tokenizer.rare_pieces import FEWEST_CONVERSATIONS

LINES = [
    "안녕 GPT! 오늘 뭐해?",
    "ㅋㅋㅋㅋㅋ 밥 먹자",
    "<NAME>야 어디야? 2024년 3월 15일 오후 3:30",
    "<PHOTO>",
    "내일  학교에서 만나\n그래 좋아 👍🏽 👨‍👩‍👧",
    "The quick brown fox, 10,000원 & café",
    " 앞에 빈칸, 뒤에 빈칸 ",
    "뷁쀍 햏햏 ♥ 漢字",
    "<URL> 이거 봤어? <EMOJI><EMOJI>",
    "생일 축하해!! 진짜 진짜 축하해 <EMOJI>",
]
SETTINGS = Settings.model_validate(
    {
        "model": {"d_model": 32, "nhead": 2, "num_layers": 2, "dropout": 0.0},
        "tokenizer": {"vocab_size": 390},
        "training": {"dataset": {"seq_len": 16}},
    }
)


def train_tokenizer(folder: Path, vocab_size: int = SETTINGS.tokenizer.vocab_size) -> Path:
    """A tokenizer of so many pieces at most, in which rare characters are several byte tokens."""
    corpus = folder / "textonly.txt"
    corpus.write_text("\n".join(LINES * FEWEST_CONVERSATIONS), encoding="utf-8")
    return tokenizer.train(corpus, output_dir=folder, vocab_size=vocab_size, report=lambda line: None)


def write_jsonl(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts), encoding="utf-8")
    return path


def build_model(vocab_size: int, seed: int = 0, settings: Settings = SETTINGS) -> MiniGPT:
    """A model with larger weights than training starts from, so that its answers are anything but uniform."""
    torch.manual_seed(seed)
    model = MiniGPT.from_settings(settings.model, vocab_size, settings.training.dataset.seq_len)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def save_model(
    root: Path, tokenizer_model: Path, model: MiniGPT, *, round: int = 1, step: int = 10, **more: Any
) -> Path:
    """A checkpoint of `model`; `more` goes to minigpt.checkpoint.save, or is the progress's run, run_id or samples."""
    parameters = model.state_dict()
    progress = Progress(
        run=more.pop("run", "cellmind"),
        run_id=more.pop("run_id", "cellmind-0123456789ab"),
        round=round,
        samples=more.pop("samples", round * 256),
        step=step,
        version=parameter_hash(parameters),
    )
    more.setdefault("settings", SETTINGS)
    return save(
        root,
        progress,
        parameters=parameters,
        model_config=model.hugging_face_config(),
        tokenizer_model=tokenizer_model,
        **more,
    )


def seal(folder: Path) -> Path:
    """Let the manifest agree with whatever the files are now, as somebody could who sends a bad checkpoint."""
    manifest = json.loads((folder / MANIFEST).read_text())
    for name in manifest["files"]:
        manifest["files"][name] = {"size": (folder / name).stat().st_size, "sha256": file_sha256(folder / name)}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def stand_in(**members: object) -> Any:
    """Something with such members, in the place of an object that a test can do without."""
    return SimpleNamespace(**members)
