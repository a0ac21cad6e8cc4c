"""A checkpoint as one file for llama.cpp and what is built on it: `python -m minigpt.export --to gguf model.gguf`.

llama.cpp makes the same tokens of a text as our tokenizer, and with `--type f32` computes the same logits, up to the
order of additions. The file has its name once it is whole.
"""

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from sentencepiece.sentencepiece_model_pb2 import ModelProto, TrainerSpec
from torch import Tensor

from data.atomic import replacing
from data.terminal import CommandParser
from minigpt import END_OF_TEXT, PADDING, START, UNKNOWN
from minigpt.checkpoint import Checkpoint
from minigpt.checkpoint.manifest import CheckpointError
from minigpt.cli import add_checkpoint_option, add_newest_option, chosen_checkpoint, exit_code
from minigpt.model import NORM_EPSILON, ROPE_THETA, MiniGPT, swiglu_size

# Our names of number formats, and GGUF's: of a matrix, and of a file that has most of its matrices in it.
FORMATS = {"f16": ("F16", "MOSTLY_F16"), "q8_0": ("Q8_0", "MOSTLY_Q8_0"), "f32": ("F32", "ALL_F32")}


class ExportError(ValueError):
    """A file that cannot be written; one line that says why, and what to do."""


def import_gguf() -> Any:
    """Return the package of the llama.cpp project that knows the format, an extra. Raises ExportError without it."""
    try:
        import gguf
    except ImportError as error:
        raise ExportError(f"writing GGUF needs one more package: pip install -e '.[gguf]' ({error})") from error
    return gguf


def write_gguf(checkpoint: Checkpoint, target: Path, type: str = "f16") -> None:
    """Write the anchor and its tokenizer as a GGUF file.

    Raises ExportError and CheckpointError; an earlier file is then as it was.
    """
    gguf = import_gguf()
    if os.path.exists(target) and not os.path.isfile(target):
        raise ExportError(f"{target} is there, and is no file that could be replaced: choose another name")
    model, tokenizer = checkpoint.build_model(), checkpoint.load_tokenizer()
    matrix_format, file_format = FORMATS[type]
    writer = gguf.GGUFWriter(None, "llama")
    add_description(writer, model, checkpoint.progress.run_id)
    writer.add_file_type(gguf.LlamaFileType[file_format])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    add_vocabulary(writer, tokenizer)
    add_tensors(gguf, writer, model, gguf.GGMLQuantizationType[matrix_format])
    try:
        write_with(writer, target)
    except OSError as error:
        # numpy says only how many bytes it could not write, which is what a full disk does
        raise ExportError(f"{target} cannot be written: {error.strerror or f'the disk is full ({error})'}") from error


def write_with(writer: Any, target: Path) -> None:
    """Write what the writer holds to `target`, which is as it was if that fails. Raises OSError."""
    target = Path(os.path.realpath(target))  # a link stays one, and what it leads to is replaced
    with replacing(target) as part:
        try:
            writer.write_header_to_file(part)
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()
        finally:
            with suppress(OSError):  # it writes what is left, where there may be no room for it
                writer.close()


def add_description(writer: Any, model: MiniGPT, name: str) -> None:
    """Tell the writer what llama.cpp must know to compute as `MiniGPT` does; see `hugging_face_config` there."""
    writer.add_name(name)
    writer.add_vocab_size(model.vocab_size)
    writer.add_context_length(model.seq_len)
    writer.add_embedding_length(model.d_model)
    writer.add_feed_forward_length(swiglu_size(model.d_model))
    writer.add_block_count(model.num_layers)
    writer.add_head_count(model.nhead)
    writer.add_head_count_kv(model.nhead)
    writer.add_layer_norm_rms_eps(NORM_EPSILON)
    writer.add_rope_freq_base(ROPE_THETA)
    writer.add_rope_dimension_count(model.d_model // model.nhead)


def add_vocabulary(writer: Any, tokenizer: Any) -> None:
    """Tell the writer the pieces, and that a text begins with START and with no space of its own.

    Raises ExportError for a tokenizer that llama.cpp does not know.
    """
    proto = ModelProto.FromString(tokenizer.serialized_model_proto())
    if proto.trainer_spec.model_type != TrainerSpec.BPE:
        raise ExportError("llama.cpp makes other tokens with a unigram tokenizer: only bpe tokenizers can be exported")
    writer.add_tokenizer_model("llama")  # its name for sentencepiece's BPE
    writer.add_tokenizer_pre("default")
    writer.add_token_list([piece.piece.encode() for piece in proto.pieces])
    writer.add_token_scores([piece.score for piece in proto.pieces])
    writer.add_token_types([piece.type for piece in proto.pieces])  # the same numbers in both projects
    writer.add_unk_token_id(UNKNOWN)
    writer.add_bos_token_id(START)
    writer.add_eos_token_id(END_OF_TEXT)
    writer.add_pad_token_id(PADDING)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(proto.normalizer_spec.add_dummy_prefix)


def add_tensors(gguf: Any, writer: Any, model: MiniGPT, matrix_format: Any) -> None:
    """Give the writer all parameters under GGUF's names.

    There is no output matrix among them, which tells llama.cpp to take the embedding.
    """
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, model.num_layers)
    for name, parameter in model.named_parameters():
        tensor = parameter.detach()
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            tensor = pair_neighbours(tensor, model.nhead)
        array = tensor.numpy()
        # llama.cpp takes norms in float32 only; a row that cannot be cut into Q8_0's blocks stays float16
        number_format = matrix_format if array.ndim == 2 else gguf.GGMLQuantizationType.F32
        if array.shape[-1] % gguf.GGML_QUANT_SIZES[number_format][0]:
            number_format = gguf.GGMLQuantizationType.F16
        quantized = gguf.quants.quantize(array, number_format)
        writer.add_tensor(names.get_name(name, (".weight",)), np.ascontiguousarray(quantized), raw_dtype=number_format)


def pair_neighbours(weight: Tensor, nhead: int) -> Tensor:
    """Return the rows of q or k (C, C) as llama.cpp's rotation pairs them: (0, 1), (2, 3) … and not (i, i + hs/2)."""
    rows, columns = weight.shape
    return weight.view(nhead, 2, rows // nhead // 2, columns).transpose(1, 2).reshape(rows, columns)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = CommandParser("python -m minigpt.export", description="Write a checkpoint as one file.")
    parser.add_argument("file", metavar="FILE", type=Path, help="where to write it; a file of that name is replaced")
    parser.add_argument("--to", choices=["gguf"], required=True, help="gguf is for llama.cpp and what is built on it")
    one_of = parser.add_mutually_exclusive_group()
    add_checkpoint_option(one_of)
    add_newest_option(one_of)
    parser.add_argument(
        "--type",
        choices=FORMATS,
        default="f16",
        help="number format of the matrices: 16 bits, 8 bits or all 32; default: f16",
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)

    def work() -> None:
        write_gguf(chosen_checkpoint(arguments), arguments.file, arguments.type)
        print(f"wrote {arguments.file}: {arguments.file.stat().st_size / 1e6:.1f} MB, {arguments.type}")

    return exit_code(work, (CheckpointError, ExportError))


if __name__ == "__main__":
    sys.exit(main())
