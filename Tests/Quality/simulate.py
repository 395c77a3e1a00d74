#!/usr/bin/env python3
"""`score` by torch: the same output as `portico-worker score`, to check the comparison itself, and to
know beforehand what a way of quantising costs.

    python3 simulate.py score --model FOLDER --dtype bf16|fp8|fp8-linear|fp8-head --ids FILE --out -

fp8: linear layers but for keys, values and the output of attention are rounded to e4m3 with one scale for
each 128 x 128; activations stay fp32. This is what the worker does.
fp8-linear: those three as well. fp8-head: and the embedding, which is the head.
"""

import argparse
import struct
import sys

import torch
import transformers

BLOCK = 128
KEPT = {
    "fp8": ("embed_tokens", "lm_head", "k_proj", "v_proj", "o_proj"),
    "fp8-linear": ("embed_tokens", "lm_head"),
    "fp8-head": (),
}


def rounded(weight):
    rows, columns = weight.shape
    padded = torch.zeros(-(-rows // BLOCK) * BLOCK, -(-columns // BLOCK) * BLOCK)
    padded[:rows, :columns] = weight
    blocks = padded.reshape(padded.shape[0] // BLOCK, BLOCK, padded.shape[1] // BLOCK, BLOCK)
    scales = blocks.abs().amax(dim=(1, 3), keepdim=True).clamp(min=1e-30) / 448
    return ((blocks / scales).to(torch.float8_e4m3fn).float() * scales).reshape(
        padded.shape)[:rows, :columns].contiguous(), scales.numel()


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("score", choices=["score"])
    parser.add_argument("--model", required=True)
    parser.add_argument("--dtype", required=True, choices=["bf16", *KEPT])
    parser.add_argument("--ids", required=True)
    parser.add_argument("--out", required=True, choices=["-"])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        asked.model, dtype=torch.float32).eval()
    size = 0
    for name, weight in model.named_parameters():
        kept = KEPT.get(asked.dtype, ("",))
        if weight.ndim == 2 and not any(part in name for part in kept):
            weight.data, scales = rounded(weight.data)
            size += weight.numel() + 4 * scales
        else:
            size += 2 * weight.numel()
    out = sys.stdout.buffer
    out.write(struct.pack("<8sIIQ", b"PSCORE01", model.config.vocab_size, 0, size))
    for line in open(asked.ids):
        ids = [int(word) for word in line.split()]
        logits = model(torch.tensor([ids])).logits[0]
        out.write(struct.pack(f"<I{len(ids)}i", len(ids), *ids))
        out.write(logits.float().numpy().tobytes())
    out.write(struct.pack("<I", 0))
    out.flush()


if __name__ == "__main__":
    main()
