"""What make.py makes beside plain decoders: tokenizers, an FP8 checkpoint, an encoder, GGUF files."""

import json
import shutil

import gguf
import numpy
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file

# Enough text for 61 merges.
TEXT = """The worker reads the weights once for every token, and the tokens wait for the weights.
A rank holds its share of every layer; the ranks add what they found, in their order.
When the text ends, the blocks go back to the pool and the next one in the queue starts."""

# ChatML, as SmolLM2 and Qwen have it.
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
SPECIALS = ["<|pad|>", "<|im_start|>", "<|im_end|>"]


def write_tokenizer(folder, vocabulary):
    """A byte-level BPE of exactly `vocabulary` tokens: three specials, 256 bytes, merges."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
        tokenizers.pre_tokenizers.Digits(individual_digits=True),
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.train_from_iterator([TEXT], tokenizers.trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=SPECIALS, show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()))
    assert tokenizer.get_vocab_size() == vocabulary
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(
        tokenizer_class="PreTrainedTokenizerFast", bos_token="<|im_start|>",
        eos_token="<|im_end|>", pad_token="<|pad|>", chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False, model_max_length=128), indent=2) + "\n")


# ---- FP8 -------------------------------------------------------------------------------------------

BLOCK = 128


def quantise(weight):
    """e4m3 with one scale a block of 128 x 128, as DeepSeek stores it: W = bytes * scale_inv."""
    rows, columns = weight.shape
    scales = torch.zeros(-(-rows // BLOCK), -(-columns // BLOCK))
    spread = torch.zeros_like(weight)
    for i in range(scales.shape[0]):
        for j in range(scales.shape[1]):
            part = (slice(i * BLOCK, (i + 1) * BLOCK), slice(j * BLOCK, (j + 1) * BLOCK))
            scales[i, j] = weight[part].abs().max() / 448
            spread[part] = scales[i, j]
    stored = (weight / spread).to(torch.float8_e4m3fn)
    return stored, scales, stored.float() * spread


def is_quantised(name):
    """Linear layers, but for the router and the head."""
    return name.endswith("_proj.weight") or name.endswith("kv_a_proj_with_mqa.weight")


def make_fp8(make, name="deepseek_v3_fp8"):
    """Sizes are no multiples of 128, and some are above it, so blocks at the edges are not full."""
    folder, plain = make.HERE / name, make.HERE / f".{name}"
    settings = make.LATENT | make.GROUPS | dict(
        hidden_size=144, intermediate_size=136, moe_intermediate_size=20, n_routed_experts=4,
        num_experts_per_tok=2, q_lora_rank=28, n_shared_experts=1, norm_topk_prob=True,
        routed_scaling_factor=2.5, vocab_size=96, qk_nope_head_dim=8, v_head_dim=8,
        kv_lora_rank=16, qk_rope_head_dim=8, n_group=2, topk_group=1)
    for seed in range(200):
        config = transformers.AutoConfig.for_model("deepseek_v3", **settings)
        model = make.randomise(make.TYPES["deepseek_v3"](config).float(), seed)
        make.write_folder(model, folder, {"v4"})
        stored, meant = {}, {}
        for key, weight in load_file(folder / "model.safetensors").items():
            if is_quantised(key):
                stored[key], stored[key + "_scale_inv"], meant[key] = quantise(weight.float())
            else:
                stored[key], meant[key] = weight, weight.float()
        shutil.rmtree(plain, ignore_errors=True)
        shutil.copytree(folder, plain)
        save_file(meant, plain / "model.safetensors", metadata=dict(format="pt"))
        model = make.read_folder("deepseek_v3", plain)
        shutil.rmtree(plain)
        tensors = make.golden_of(model, seed)
        if tensors is not None:
            break
    save_file(stored, folder / "model.safetensors", metadata=dict(format="pt"))
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | dict(quantization_config=dict(
        activation_scheme="dynamic", fmt="e4m3", quant_method="fp8",
        weight_block_size=[BLOCK, BLOCK])), indent=2) + "\n")
    save_file(tensors, folder / "golden.safetensors")
    report(folder, seed)


# ---- GGUF ------------------------------------------------------------------------------------------

def interleaved(weight, heads):
    """Rows of q and k as GGUF orders them: pairs of a rotation are neighbours."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(
        rows, columns)


GGUF_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
} | {
    f"model.layers.{i}.{theirs}.weight": f"blk.{i}.{ours}.weight"
    for i in range(2) for theirs, ours in (
        ("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down"))
}


def write_gguf(source, path, kind):
    """The llama folder as a GGUF. Returns the weights as a reader must understand them."""
    config = json.loads((source / "config.json").read_text())
    vocabulary = json.loads((source / "tokenizer.json").read_text())["model"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("llama golden")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if kind == gguf.GGMLQuantizationType.F16
                         else gguf.LlamaFileType.MOSTLY_Q8_0)
    tokens = sorted(vocabulary["vocab"], key=vocabulary["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([
        gguf.TokenType.CONTROL if t in SPECIALS else gguf.TokenType.NORMAL for t in tokens])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m)
                             for m in vocabulary["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    meant = {}
    for key, weight in load_file(source / "model.safetensors").items():
        values = weight.float().numpy()
        if values.ndim == 1:
            writer.add_tensor(GGUF_NAMES[key], values)
            meant[key] = torch.from_numpy(values)
            continue
        of = heads if "q_proj" in key else kv_heads if "k_proj" in key else None
        ordered = values if of is None else interleaved(values, of)
        packed = gguf.quants.quantize(ordered, kind)
        writer.add_tensor(GGUF_NAMES[key], packed, raw_dtype=kind)
        # Scales of Q8_0 lie along rows, so the order of rows changes nothing in them.
        meant[key] = torch.from_numpy(gguf.quants.dequantize(
            gguf.quants.quantize(values, kind), kind).reshape(values.shape).copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return meant


def make_gguf(make):
    """llama.f16.gguf holds what `llama` holds; llama.q8_0.gguf has a golden of its own."""
    source, folder, plain = make.HERE / "llama", make.HERE / "gguf", make.HERE / ".gguf"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    original = load_file(source / "model.safetensors")
    meant = write_gguf(source, folder / "llama.f16.gguf", gguf.GGMLQuantizationType.F16)
    assert all(torch.equal(meant[key], original[key].float()) for key in original)
    meant = write_gguf(source, folder / "llama.q8_0.gguf", gguf.GGMLQuantizationType.Q8_0)
    shutil.copytree(source, plain)
    save_file(meant, plain / "model.safetensors", metadata=dict(format="pt"))
    model = make.read_folder("llama", plain)
    shutil.rmtree(plain)
    for seed in range(200):
        tensors = make.golden_of(model, seed)
        if tensors is not None:
            break
    save_file(tensors, folder / "llama.q8_0.golden.safetensors")
    report(folder, seed)


# ---- An encoder ------------------------------------------------------------------------------------

WORDS = "the a of and weight token rank layer block text is it ##s ##ing ##ed".split()


def write_word_pieces(folder):
    alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *alphabet,
                  *("##" + c for c in alphabet), *".,;:!?'\"()-", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    ranks = {token: rank for rank, token in enumerate(vocabulary)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(
        ranks, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = tokenizers.decoders.WordPiece()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.add_special_tokens(vocabulary[:5])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(
        tokenizer_class="BertTokenizer", do_lower_case=True, cls_token="[CLS]", sep_token="[SEP]",
        pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]", model_max_length=48),
        indent=2) + "\n")
    return tokenizer, len(vocabulary)


def write_sentence_transformer(folder, size, longest):
    """The files by which sentence-transformers knows that vectors are averaged and normalised."""
    def write(path, value):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(json.dumps(value, indent=2) + "\n")

    write("modules.json", [
        dict(idx=0, name="0", path="", type="sentence_transformers.models.Transformer"),
        dict(idx=1, name="1", path="1_Pooling", type="sentence_transformers.models.Pooling"),
        dict(idx=2, name="2", path="2_Normalize", type="sentence_transformers.models.Normalize")])
    write("1_Pooling/config.json", dict(
        word_embedding_dimension=size, pooling_mode_cls_token=False,
        pooling_mode_mean_tokens=True, pooling_mode_max_tokens=False,
        pooling_mode_mean_sqrt_len_tokens=False))
    write("sentence_bert_config.json", dict(max_seq_length=longest, do_lower_case=False))


@torch.no_grad()
def make_bert(make):
    folder = make.HERE / "bert"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tokenizer, vocabulary = write_word_pieces(folder)
    config = transformers.BertConfig(
        vocab_size=vocabulary, hidden_size=48, num_hidden_layers=2, num_attention_heads=8,
        intermediate_size=64, max_position_embeddings=64, type_vocab_size=2, layer_norm_eps=1e-12)
    model = make.randomise(transformers.BertModel(config, add_pooling_layer=True).float(), 0)
    model.to(torch.bfloat16).save_pretrained(folder)
    model = transformers.BertModel.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager").eval()
    write_sentence_transformer(folder, config.hidden_size, 48)
    tensors = {}
    texts = ["The weights of a layer, and of the next one; 40 tokens? It is tokens all the way down",
             "ranks"]
    for index, text in enumerate(texts):
        ids = torch.tensor(tokenizer.encode(text).ids)
        hidden = model(ids[None]).last_hidden_state[0]
        exactly = model.double()(ids[None]).last_hidden_state[0].float()
        model.float()
        assert (exactly - hidden).abs().max() < make.NOISE
        mean = hidden.mean(0)
        tensors |= {
            f"prompt{index}": ids.int(), f"hidden{index}": hidden.contiguous(),
            f"embedding{index}": mean / mean.norm(),
            f"text{index}": torch.tensor(list(text.encode()), dtype=torch.uint8)}
    save_file(tensors, folder / "golden.safetensors")
    report(folder, 0)


def report(folder, seed):
    files = [file for file in folder.rglob("*") if file.is_file()]
    for file in files:
        file.chmod(0o644)
    print(f"{folder.name}: seed {seed}, {sum(f.stat().st_size for f in files)} bytes")
