#!/usr/bin/env python3
"""Makes the tiny models of this folder and what `transformers` says about them.

    pip install torch transformers safetensors gguf numpy
    python3 make.py            # all models, into the folder of this script
    python3 make.py llama qwen3_yarn

Each model is a Hugging Face folder with random weights that are exact in bfloat16, and beside it
`golden.safetensors`: fp32 logits of the model as it was read back from the folder, without a cache,
with eager attention. README.md says what is in it.

Seeds are searched, so that no golden hangs on a tie: the likeliest token leads by 0.002 at every
step, chosen experts lead by 0.0005, and 64-bit arithmetic gives the same logits.
"""

import json
import math
import shutil
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

import more

HERE = Path(__file__).resolve().parent
VOCABULARY = 160
LENGTHS = (40, 7)
CONTINUATION = 12
# What fp32 may differ by from fp64: a fifth of what the tests allow.
NOISE = 2e-5

BASE = dict(
    vocab_size=VOCABULARY, hidden_size=48, intermediate_size=64, num_hidden_layers=2,
    num_attention_heads=8, num_key_value_heads=2, max_position_embeddings=128, rms_norm_eps=1e-5,
    bos_token_id=1, eos_token_id=2, pad_token_id=None, tie_word_embeddings=False,
)
PLAIN = dict(rope_type="default", rope_theta=10000.0)
LATENT = BASE | dict(
    hidden_size=40, num_key_value_heads=8, intermediate_size=72, moe_intermediate_size=12,
    num_hidden_layers=2, first_k_dense_replace=1, kv_lora_rank=24, qk_nope_head_dim=12,
    qk_rope_head_dim=16, v_head_dim=10, n_routed_experts=8, num_experts_per_tok=3,
    rms_norm_eps=1e-6, rope_parameters=PLAIN,
)
GROUPS = dict(n_group=4, topk_group=2)


def yarn(factor, mscale, all_dim, theta=10000.0, original=4096, fast=32.0, slow=1.0):
    """The published models' numbers by default: their ramp goes from pair 2 to pair 6 of these 8."""
    return dict(max_position_embeddings=int(factor) * original, rope_parameters=dict(
        rope_type="yarn", rope_theta=theta, factor=factor,
        original_max_position_embeddings=original, beta_fast=fast, beta_slow=slow, mscale=mscale,
        mscale_all_dim=all_dim))


# name: (model type, config, how the folder is written)
CASES = {
    "llama": ("llama", BASE | dict(
        vocab_size=320, hidden_size=32, head_dim=8, rope_parameters=PLAIN), {"tokenizer"}),
    # Sizes that fill no vector register and divide by nothing; kv heads for every rank.
    "llama_tied": ("llama", BASE | dict(
        vocab_size=203, hidden_size=48, intermediate_size=100, num_key_value_heads=4, num_hidden_layers=3,
        tie_word_embeddings=True, rope_parameters=PLAIN | dict(rope_theta=500000.0),
        eos_token_id=[2, 5]), {"v4"}),
    # Wave lengths of all three kinds: kept, blended, scaled.
    "llama_llama3": ("llama", BASE | dict(head_dim=16, hidden_size=32, rope_parameters=dict(
        rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0,
        high_freq_factor=4.0, original_max_position_embeddings=32)), set()),
    "llama_llama3_v4": ("llama", BASE | dict(
        hidden_size=32, head_dim=16, tie_word_embeddings=True, rope_parameters=dict(
            rope_type="llama3", rope_theta=500000.0, factor=32.0, low_freq_factor=1.0,
            high_freq_factor=4.0, original_max_position_embeddings=64)), {"v4"}),
    "llama_linear": ("llama", BASE | dict(
        hidden_size=32, rope_parameters=PLAIN | dict(rope_type="linear", factor=4.0)), {"v4"}),
    "llama_biases": ("llama", BASE | dict(
        head_dim=12, attention_bias=True, mlp_bias=True, rope_parameters=PLAIN), set()),
    # 6 heads over 2: ranks 1 and 2 are legal, 4 is not.
    "llama_six_heads": ("llama", BASE | dict(
        num_attention_heads=6, rope_parameters=PLAIN), set()),
    "qwen2": ("qwen2", BASE | dict(
        rms_norm_eps=1e-6, rope_parameters=PLAIN | dict(rope_theta=1e6)), {"v4"}),
    "qwen2_tied": ("qwen2", BASE | dict(
        hidden_size=32, tie_word_embeddings=True, rope_parameters=PLAIN), set()),
    "qwen3": ("qwen3", BASE | dict(
        head_dim=16, tie_word_embeddings=True, rms_norm_eps=1e-6,
        rope_parameters=PLAIN | dict(rope_theta=1e6)), {"shards"}),
    # YaRN as everyone but DeepSeek has it: 0.1 ln(factor) + 1 on cosine and sine.
    "qwen3_yarn": ("qwen3", BASE | dict(
        hidden_size=32, head_dim=16, attention_bias=True, max_position_embeddings=16384,
        rope_parameters=dict(rope_type="yarn", rope_theta=10000.0, factor=4.0,
                             original_max_position_embeddings=4096)), {"v4"}),
    "qwen3_moe": ("qwen3_moe", BASE | dict(
        hidden_size=32, head_dim=8, num_hidden_layers=3, num_experts=8, num_experts_per_tok=3,
        moe_intermediate_size=16, norm_topk_prob=True, decoder_sparse_step=2, mlp_only_layers=[],
        rope_parameters=PLAIN), set()),
    "qwen3_moe_raw": ("qwen3_moe", BASE | dict(
        hidden_size=32, head_dim=16, num_hidden_layers=3, num_experts=6, num_experts_per_tok=2,
        moe_intermediate_size=20, norm_topk_prob=False, decoder_sparse_step=1, mlp_only_layers=[1],
        tie_word_embeddings=True, rope_parameters=PLAIN), {"v4"}),
    "deepseek_v2_lite": ("deepseek_v2", LATENT | dict(
        q_lora_rank=None, topk_method="greedy", n_shared_experts=2), set()),
    # As DeepSeek-V2: mscale 0.707 twice, so that only the scores are scaled.
    "deepseek_v2": ("deepseek_v2", LATENT | GROUPS | dict(
        q_lora_rank=20, topk_method="group_limited_greedy", n_shared_experts=2,
        routed_scaling_factor=4.0, **yarn(40.0, 0.707, 0.707)), {"v4"}),
    # The two mscales differ: cosine and sine are scaled as well. rms_norm_eps is large, because the
    # norms of the latents do not read it.
    "deepseek_v2_mscale": ("deepseek_v2", LATENT | dict(
        q_lora_rank=20, topk_method="greedy", n_shared_experts=1, rms_norm_eps=0.02,
        **yarn(8.0, 1.5, 0.5, theta=1000.0, original=32, fast=1.0, slow=0.05)), set()),
    "deepseek_v3": ("deepseek_v3", LATENT | GROUPS | dict(
        num_hidden_layers=3, q_lora_rank=20, n_shared_experts=1, norm_topk_prob=True, routed_scaling_factor=2.5,
        **yarn(40.0, 1.0, 1.0)), {"v4", "shards", "negative"}),
    "deepseek_v3_no_lora": ("deepseek_v3", LATENT | GROUPS | dict(
        q_lora_rank=None, n_shared_experts=2, norm_topk_prob=False, routed_scaling_factor=1.5,
        attention_bias=True), {"negative"}),
    "deepseek_v3_halves": ("deepseek_v3", LATENT | dict(
        q_lora_rank=20, n_shared_experts=1, n_group=1, topk_group=1, rope_interleave=False,
        **yarn(4.0, 1.0, 1.0, theta=1000.0, original=32, fast=1.0, slow=0.05)), set()),
}

TYPES = {
    "llama": transformers.LlamaForCausalLM, "qwen2": transformers.Qwen2ForCausalLM,
    "qwen3": transformers.Qwen3ForCausalLM, "qwen3_moe": transformers.Qwen3MoeForCausalLM,
    "deepseek_v2": transformers.DeepseekV2ForCausalLM,
    "deepseek_v3": transformers.DeepseekV3ForCausalLM,
}


def exact(values):
    """Rounded to what bfloat16 holds; tiny ones become zero, so that float16 holds them as well."""
    values = values.to(torch.bfloat16).float()
    return torch.where(values.abs() < 2.0**-16, torch.zeros_like(values), values)


def randomise(model, seed, negative=False):
    """Every weight, from one seed: logits spread over several units, norms are near 1."""
    generator = torch.Generator().manual_seed(seed)

    def normal(shape, deviation, mean=0.0):
        return exact(torch.randn(shape, generator=generator) * deviation + mean)

    with torch.no_grad():
        for name, weight in sorted(model.state_dict().items()):
            if name == "lm_head.weight" and model.config.tie_word_embeddings:
                continue
            if "e_score_correction_bias" in name:
                # Below -1, a choice score is negative whatever the sigmoid says: whoever masks the
                # groups that lost with 0 instead of minus infinity would choose from them.
                weight.copy_(
                    torch.randn(weight.shape, generator=generator) * 0.3
                    + (-1.7 if negative else 0.1))
            elif "norm" in name.lower() and name.endswith("weight"):
                weight.copy_(normal(weight.shape, 0.2, mean=1.0))
            elif name.endswith("bias"):
                weight.copy_(normal(weight.shape, 0.15))
            elif "embed" in name or "lm_head" in name:
                weight.copy_(normal(weight.shape, 0.2))
            else:
                gain = 2.0 if ".gate.weight" in name else 1.0
                weight.copy_(normal(weight.shape, gain / math.sqrt(weight.shape[-1])))
    if model.config.tie_word_embeddings:
        model.tie_weights()
    return model


def write_folder(model, folder, style):
    """As save_pretrained does in bfloat16, and then, for "v4", with the keys of older versions."""
    stored = model.to(torch.bfloat16)
    corrections = {n: b for n, b in model.named_buffers() if "e_score_correction_bias" in n}
    for name, buffer in corrections.items():
        buffer.data = buffer.data.float()
    stored.config.dtype = torch.bfloat16
    total = sum(p.numel() * 2 for p in stored.parameters())
    shutil.rmtree(folder, ignore_errors=True)
    stored.save_pretrained(folder, max_shard_size=total // 2 if "shards" in style else "1GB")
    (folder / "generation_config.json").unlink(missing_ok=True)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.pop("transformers_version", None)
    if "v4" in style:
        rope = config.pop("rope_parameters")
        config["rope_theta"] = rope.pop("rope_theta")
        kind = rope.pop("rope_type")
        # The newer of the two old spellings is `rope_type`; DeepSeek's own files have `type`.
        key = "type" if "deepseek" in config["model_type"] or kind == "linear" else "rope_type"
        config["rope_scaling"] = None if kind == "default" else {key: kind} | rope
        config["torch_dtype"] = config.pop("dtype")
        if config["model_type"] == "deepseek_v3":
            config |= dict(topk_method="noaux_tc", scoring_func="sigmoid", moe_layer_freq=1)
        if config["model_type"] == "deepseek_v2":
            config |= dict(scoring_func="softmax", moe_layer_freq=1)
        config = dict(sorted(config.items()))
    path.write_text(json.dumps(config, indent=2) + "\n")


def read_folder(kind, folder):
    model, notes = TYPES[kind].from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager",
        output_loading_info=True)
    assert not any(notes[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), notes
    return model.eval()


def prompts(seed, vocabulary):
    generator = torch.Generator().manual_seed(1000 + seed)
    return [torch.randint(3, vocabulary, (n,), generator=generator) for n in LENGTHS]


def kept_positions(length):
    return sorted(set(range(0, length, 5)) | {length - 1})


@torch.no_grad()
def continued(model, prompt):
    """Greedy tokens without a cache, and by how much the least certain of them led."""
    tokens, lead = prompt.clone(), math.inf
    for _ in range(CONTINUATION):
        logits = model(tokens[None], use_cache=False).logits[0, -1]
        top = logits.topk(2).values
        lead = min(lead, (top[0] - top[1]).item())
        tokens = torch.cat([tokens, logits.argmax()[None]])
    return tokens[len(prompt):], lead


def choice_lead(model, tokens):
    """By how much the last chosen expert (and group) led over the first that was not chosen."""
    leads = []

    def watch(module, _, output):
        logits = output[0].detach().float().reshape(-1, output[0].shape[-1])
        if hasattr(module, "e_score_correction_bias"):
            scores = logits.sigmoid() + module.e_score_correction_bias
            worth = lambda grouped: grouped.topk(2, dim=-1).values.sum(-1)
        else:
            scores = logits.softmax(-1)
            worth = lambda grouped: grouped.max(-1).values
        groups = getattr(module, "num_group", None) or 1
        if groups > 1 and getattr(module, "topk_method", "noaux_tc") != "greedy":
            grouped = worth(scores.view(len(scores), groups, -1))
            order = grouped.sort(-1, descending=True)
            leads.append((order.values[:, module.topk_group - 1]
                          - order.values[:, module.topk_group]).min())
            kept = torch.zeros_like(grouped, dtype=torch.bool)
            kept.scatter_(1, order.indices[:, :module.topk_group], True)
            each = scores.shape[1] // groups
            scores = scores.masked_fill(~kept.repeat_interleave(each, 1), -math.inf)
        order = scores.sort(-1, descending=True).values
        leads.append((order[:, module.top_k - 1] - order[:, module.top_k]).min())

    routers = [m for m in model.modules() if type(m).__name__.endswith("TopKRouter")
               or type(m).__name__.endswith("TopkRouter")]
    hooks = [router.register_forward_hook(watch) for router in routers]
    with torch.no_grad():
        model(tokens[None], use_cache=False)
    for hook in hooks:
        hook.remove()
    return min((lead.item() for lead in leads), default=math.inf)


@torch.no_grad()
def golden_of(model, seed):
    """The tensors of golden.safetensors; None where something hangs on a tie."""
    tensors = {}
    for index, prompt in enumerate(prompts(seed, model.config.vocab_size)):
        tokens, lead = continued(model, prompt)
        whole = torch.cat([prompt, tokens])
        if lead < 2e-3 or choice_lead(model, whole) < 5e-4:
            return None
        logits = model(prompt[None], use_cache=False).logits[0]
        # With a cache, token by token, the same comes out; and in 64 bits.
        cache, rows = None, []
        for token in whole[:-1]:
            out = model(token[None, None], cache=cache, use_cache=True)
            cache, _ = out.cache, rows.append(out.logits[0, -1])
        stepped = torch.stack(rows)
        assert (stepped[:len(prompt)] - logits).abs().max() < NOISE
        assert torch.equal(stepped[len(prompt) - 1:].argmax(-1), tokens)
        exactly = model.double()(prompt[None], use_cache=False).logits[0].float()
        model.float()
        if (exactly - logits).abs().max() > NOISE:
            return None
        kept = kept_positions(len(prompt))
        tensors |= {
            f"prompt{index}": prompt.int(), f"greedy{index}": tokens.int(),
            f"positions{index}": torch.tensor(kept, dtype=torch.int32),
            f"logits{index}": logits[kept].contiguous()}
    return tensors


@torch.no_grad()
def check_settings_matter(name, kind, folder, prompt):
    """A setting that does nothing in `transformers` would make a golden that proves nothing."""
    reference = read_folder(kind, folder)(prompt[None]).logits
    config = json.loads((folder / "config.json").read_text())
    key = "rope_parameters" if "rope_parameters" in config else "rope_scaling"
    trials = []
    rope = config.get(key) or {}
    for setting in ("factor", "mscale_all_dim", "rope_theta", "original_max_position_embeddings"):
        if setting in rope:
            trials.append((key, setting, rope[setting] * 2 if setting == "factor" else
                           rope[setting] // 4 if setting[0] == "o" else rope[setting] * 0.5))
    for setting, value in (
            ("rope_theta", 123.0), ("norm_topk_prob", not config.get("norm_topk_prob")),
            ("routed_scaling_factor", 1.25), ("topk_group", 1), ("n_group", 2),
            ("topk_method", "greedy"), ("num_experts_per_tok", 1),
            ("rope_interleave", not config.get("rope_interleave", True))):
        ignored = setting in ("norm_topk_prob", "rope_interleave") and kind == "deepseek_v2" or \
            setting == "topk_method" and kind == "deepseek_v3" or \
            setting in ("topk_group", "n_group") and config.get("topk_method") == "greedy"
        if setting in config and config[setting] not in (None, value) and not ignored:
            trials.append((None, setting, value))
    for group, setting, value in trials:
        changed = json.loads(json.dumps(config))
        (changed[group] if group else changed)[setting] = value
        copy = folder.parent / f".{name}"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        (copy / "config.json").write_text(json.dumps(changed))
        try:
            other = read_folder(kind, copy)(prompt[None]).logits
        finally:
            shutil.rmtree(copy)
        difference = (other - reference).abs().max().item()
        assert difference > 1e-3, f"{name}: {setting} = {value} changes logits by {difference}"
    return len(trials)


def make(name):
    kind, settings, style = CASES[name]
    folder = HERE / name
    for seed in range(200):
        config = transformers.AutoConfig.for_model(kind, **settings)
        config._attn_implementation = "eager"
        model = randomise(TYPES[kind](config).float(), seed, "negative" in style)
        write_folder(model, folder, style)
        model = read_folder(kind, folder)
        tensors = golden_of(model, seed)
        if tensors is not None:
            break
    else:
        raise SystemExit(f"{name}: no seed without a tie")
    save_file(tensors, folder / "golden.safetensors")
    trials = check_settings_matter(
        name, kind, folder, prompts(seed, config.vocab_size)[0])
    if "tokenizer" in style:
        more.write_tokenizer(folder, config.vocab_size)
    spread = tensors["logits0"].std().item()
    for file in folder.iterdir():
        file.chmod(0o644)
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name}: seed {seed}, logits spread {spread:.2f}, {trials} settings tried, {size} bytes")


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    extra = dict(deepseek_v3_fp8=more.make_fp8, bert=more.make_bert, gguf=more.make_gguf)
    for name in sys.argv[1:] or [*CASES, *extra]:
        if name in extra:
            extra[name](sys.modules[__name__])
        else:
            make(name)


if __name__ == "__main__":
    main()
