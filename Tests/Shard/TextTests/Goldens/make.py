"""Writes the goldens of the room Text: small tokenizers of each family, and the ids that Hugging Face
tokenizers (0.23.3 was used) gives for a fuzzed corpus.

    python Tests/Shard/TextTests/Goldens/make.py

corpus.json holds the texts. NAME.tokenizer.json is a tokenizer trained here; NAME.ids has one line of
ids per text: for the first texts of the corpus with special tokens parsed (`parse`), then without
(`plain`), then with what the post-processor adds (`special`), and at last the lengths, in
characters, of the pieces that the pre-tokenizer cuts the text as it is into (`pieces`), since small
vocabularies have few merges that a wrong cut would prevent.
"""

import json
import pathlib

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import AddedToken, trainers

import corpus

HERE = pathlib.Path(__file__).parent
COUNTS = {"parse": 450, "plain": 150, "special": 30}

WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?LETTERS+|\p{N}DIGITS"
         r"| ?[^\s\p{L}MARKS\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA = WORDS.replace("LETTERS", r"\p{L}").replace("DIGITS", "{1,3}").replace("MARKS", "")
QWEN = WORDS.replace("LETTERS", r"\p{L}").replace("DIGITS", "").replace("MARKS", "")
QWEN35 = WORDS.replace("LETTERS", r"[\p{L}\p{M}]").replace("DIGITS", "").replace("MARKS", r"\p{M}")
DEEPSEEK = ("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
            "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
            "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")
KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
# The letters of DeepSeek-V2 stand in the source of the room; they are escaped there as here.
SOURCE = (HERE.parents[3] / "Sources/Shard/Text/Tokenizer+GGUF.swift").read_text()
LETTERS = SOURCE.split('deepSeekLetters = """')[1].split('"""')[0]
LETTERS = "".join(line.strip().removesuffix("\\") for line in LETTERS.splitlines())
for part in LETTERS.split("\\u{")[1:]:
    code = part.split("}")[0]
    LETTERS = LETTERS.replace("\\u{%s}" % code, chr(int(code, 16)))
LETTERS = LETTERS.replace("\\\\", "\\")
SIGNS = "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"

ENGLISH = """
Everyone is permitted to copy and distribute the text below. It's a text that doesn't say much; we'll
use it for training, and they've said that I'm free to. You're welcome! He'd do it again, wouldn't he?
The quick brown fox jumps over the lazy dog 1234567890 times, in 2024, 2025 and 2026. The dog didn't
mind: it was asleep. There is a tokenizer in this house which turns words into numbers, and numbers
into words; the numbers are what the model reads, and the words are what people read.
    def main(arguments):
        for index in range(100):
            print("hello, world", index == 3, arguments[index], {"a": [1, 2.5, None]})
        return {}  # nothing
"""

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<｜end▁of▁sentence｜>"]
ADDED = ["<think>", "</think>", "<tool_call>"]


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def byte_level(use_regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def training_texts():
    for _ in range(12):
        yield ENGLISH
    for text in corpus.texts(1, 700):
        yield text


def tokens():
    return [AddedToken(t, special=True, normalized=False) for t in SPECIAL] + [
        AddedToken(t, special=False, normalized=False) for t in ADDED]


def byte_pair(pre_tokenizer, normalizer=None, size=1000, added=None):
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(training_texts(), trainer)
    tokenizer.add_tokens(added or tokens())
    return tokenizer


def llama():
    tokenizer = byte_pair(pre_tokenizers.Sequence([split(LLAMA), byte_level(False)]))
    bos = tokenizer.token_to_id("<|endoftext|>")
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(
            single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", bos)])])
    value = json.loads(tokenizer.to_str())
    value["model"]["ignore_merges"] = True
    # A token that no merge leads to is found where merges are ignored.
    value["model"]["vocab"]["Everyone"] = 5000
    return value


def flags():
    """Added tokens with all their flags."""
    odd = [
        AddedToken("<left>", lstrip=True, normalized=False),
        AddedToken("<right>", rstrip=True, normalized=False),
        AddedToken("<both>", lstrip=True, rstrip=True, special=True, normalized=False),
        AddedToken("the", single_word=True, normalized=False),
        AddedToken("World", single_word=True, normalized=True),
        AddedToken("e\u0301", normalized=True),
        AddedToken("<|im", normalized=True),
        AddedToken("<|im_start|>", special=True, normalized=True),
        AddedToken("  ", normalized=False),
        AddedToken("\u00c5ngstr", special=True, normalized=False),
    ]
    return byte_pair(byte_level(True), normalizers.NFC(), size=500, added=odd)


def bert(**options):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(**options)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=1100, limit_alphabet=420, show_progress=False,
        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.train_from_iterator(training_texts(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")])
    return tokenizer


def strings(value):
    """Merges in the old format."""
    value = json.loads(value.to_str())
    value["model"]["merges"] = [" ".join(merge) for merge in value["model"]["merges"]]
    return value


digits = pre_tokenizers.Digits(individual_digits=True)
families = {
    "gpt2": strings(byte_pair(byte_level(True))),
    "llama3": llama(),
    "qwen2": byte_pair(
        pre_tokenizers.Sequence([split(QWEN), byte_level(False)]), normalizers.NFC()),
    "qwen35": byte_pair(
        pre_tokenizers.Sequence([split(QWEN35), byte_level(False)]), normalizers.NFC()),
    "deepseek3": byte_pair(
        pre_tokenizers.Sequence(
            [split(r"\p{N}{1,3}"), split(KANA), split(DEEPSEEK), byte_level(False)]),
        normalizers.Sequence([])),
    "deepseek2": byte_pair(
        pre_tokenizers.Sequence(
            [split("[\r\n]"), split(LETTERS), split(SIGNS), split(r"\s+$"), split(CJK), digits,
             byte_level(False)])),
    "deepseekcoder": strings(byte_pair(
        pre_tokenizers.Sequence(
            [split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(CJK), digits,
             byte_level(False)]))),
    "smollm": byte_pair(pre_tokenizers.Sequence([digits, byte_level(True)])),
    "flags": flags(),
    "bert": bert(),
    "bertcased": bert(lowercase=False, handle_chinese_chars=False),
}

special = SPECIAL + ADDED + ["Everyone", " Everyone", "[CLS]", "[MASK]", "<left>", " <both> ", "<right>\n", "the", " World "]
texts = list(dict.fromkeys(corpus.texts(2, COUNTS["parse"] + 20, special, 10)))[: COUNTS["parse"]]
(HERE / "corpus.json").write_text(json.dumps(texts, ensure_ascii=True, indent=0))
for name, tokenizer in families.items():
    value = tokenizer if isinstance(tokenizer, dict) else json.loads(tokenizer.to_str())
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    (HERE / f"{name}.tokenizer.json").write_text(text)
    tokenizer = Tokenizer.from_str(text)
    with open(HERE / f"{name}.ids", "w") as file:
        for mode, count in COUNTS.items():
            tokenizer.encode_special_tokens = mode == "plain"
            file.write(f"# {mode}\n")
            for text in texts[:count]:
                ids = tokenizer.encode(text, add_special_tokens=mode == "special").ids
                file.write(" ".join(map(str, ids)) + "\n")
        if isinstance(tokenizer.model, models.BPE):
            file.write("# pieces\n")
            for text in texts:
                pieces = tokenizer.pre_tokenizer.pre_tokenize_str(text)
                file.write(" ".join(str(end - start) for _, (start, end) in pieces) + "\n")
