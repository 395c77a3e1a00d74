"""Writes models.json: config.json and the safetensors header of tiny models of every family as
transformers saves them, and tiny-llama.{safetensors,gguf}: one model in both formats, the second
made as llama.cpp's converter does. Needs torch, transformers, safetensors and gguf."""
import json, os, struct, tempfile
import numpy as np
import torch
from transformers import (AutoModel, AutoModelForCausalLM, BertConfig, DeepseekV2Config,
                          DeepseekV3Config, LlamaConfig, Qwen2Config, Qwen3Config, Qwen3MoeConfig)
import gguf
from safetensors.numpy import load_file

torch.manual_seed(1)
base = dict(vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
            eos_token_id=3, bos_token_id=2)
sparse = dict(moe_intermediate_size=16, num_experts_per_tok=2)
latent = sparse | dict(num_key_value_heads=4, kv_lora_rank=16, qk_nope_head_dim=8,
                       qk_rope_head_dim=4, v_head_dim=12, n_routed_experts=4,
                       n_shared_experts=2, first_k_dense_replace=1)
yarn = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, beta_fast=32, beta_slow=1,
            original_max_position_embeddings=16, mscale=0.707, mscale_all_dim=0.707)
llama3 = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
              high_freq_factor=4.0, original_max_position_embeddings=32)
MODELS = {
    "llama": LlamaConfig(**base, rope_parameters=llama3),
    "llama-biased": LlamaConfig(**base, attention_bias=True, mlp_bias=True),
    "llama-tied": LlamaConfig(**base, tie_word_embeddings=True),
    "qwen2": Qwen2Config(**base),
    "qwen3": Qwen3Config(**base, head_dim=16),
    "qwen3_moe": Qwen3MoeConfig(**base, **sparse, num_experts=4, head_dim=8, norm_topk_prob=True,
                                mlp_only_layers=[0]),
    "deepseek_v2": DeepseekV2Config(**base | latent, q_lora_rank=None, rope_parameters=yarn),
    "deepseek_v2-groups": DeepseekV2Config(**base | latent, q_lora_rank=24, n_group=2,
                                           topk_group=1, topk_method="group_limited_greedy",
                                           routed_scaling_factor=16.0),
    "deepseek_v3": DeepseekV3Config(**base | latent, q_lora_rank=24, n_group=2, topk_group=1,
                                    attention_bias=True),
    "bert": BertConfig(vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                       num_attention_heads=4, max_position_embeddings=64),
}
models = {}
for name, config in MODELS.items():
    kind = AutoModel if name == "bert" else AutoModelForCausalLM
    with tempfile.TemporaryDirectory() as folder:
        model = kind.from_config(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter)
        model.save_pretrained(folder)
        path = folder + "/model.safetensors"
        data = open(path, "rb").read()
        length = struct.unpack("<Q", data[:8])[0]
        models[name] = dict(config=json.load(open(folder + "/config.json")),
                            header=data[8:8 + length].decode().rstrip())
        if name == "llama-biased":
            os.replace(path, "tiny-llama.safetensors")
with open("models.json", "w") as out:
    json.dump(models, out, separators=(",", ":"))
    out.write("\n")

# llama.cpp's converter turns the rows of each head from halves to pairs.
def permute(rows, heads):
    shape = (heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return rows.reshape(shape).swapaxes(1, 2).reshape(rows.shape)

NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
         "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
writer = gguf.GGUFWriter("tiny-llama.gguf", "llama")
writer.add_block_count(2)
writer.add_context_length(64)
writer.add_embedding_length(32)
writer.add_feed_forward_length(48)
writer.add_head_count(4)
writer.add_head_count_kv(2)
writer.add_layer_norm_rms_eps(1e-6)
writer.add_rope_freq_base(10000.0)
writer.add_rope_dimension_count(8)
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("smollm")
writer.add_token_list([f"t{i}" for i in range(39)] + ["Ġé"])
writer.add_token_types([1] * 38 + [3, 3])
writer.add_token_merges(["t 1", "t 2"])
writer.add_bos_token_id(2)
writer.add_eos_token_id(3)
writer.add_add_bos_token(False)
writer.add_chat_template("{{ messages }}")
for name, tensor in load_file("tiny-llama.safetensors").items():
    stem, suffix = name.rsplit(".", 1)
    heads = 4 if "q_proj" in name else 2 if "k_proj" in name else 0
    if heads:
        tensor = permute(tensor, heads)
    if name.startswith("model.layers."):
        layer, part = stem.removeprefix("model.layers.").split(".", 1)
        name = f"blk.{layer}.{NAMES[part]}.{suffix}"
    else:
        name = {"model.embed_tokens": "token_embd", "model.norm": "output_norm",
                "lm_head": "output"}[stem] + "." + suffix
    writer.add_tensor(name, np.ascontiguousarray(tensor))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
