"""Random texts that tokenizers disagree about: mixtures of scripts, runs of whitespace, digits,
contractions, emoji, combining marks, control characters, and texts of special tokens."""

import random

SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n ", "\r", "\u00a0", "\u3000", "\u2028",
          "\u0085", "\u2003", "\u200a", "\u202f", "\x0b", "\x0c", "\u1680", "\u180e", "\u200b",
          "\ufeff"]
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'Ve", "'LL",
                "'D", "'\u017f", "'l", "'r", "'\u212a", "''", "\u2019s", "'x"]
WORDS = ("the of and tokenizer Hello world don't isn't I'll straße naïve Zürich façade Ångström "
         "ΑΒΓ αβγ Привет мир שלום مرحبا नमस्ते สวัสดี 안녕하세요 こんにちは カタカナ 世界 漢字 𠮷野家 "
         "Việt ﬁne ﬀ ĲSSEL ǅ ΐ İstanbul ıJK CamelCase snake_case HTTP/1.1 foo.bar() {x:1} "
         "e\u0301 a\u030a o\u0302\u0323 \u1112\u1161\u11ab \u0e01\u0e33 \u0958 \u0344 \u2126 "
         "\u212b \uf900 \U0002f800 ㄱ ㅏ ½ ² ⅷ ٣ ৪ 〇 ① Ⅳ µ ß ẞ ſ").split()
EMOJI = ["😀", "👍🏽", "👩‍👩‍👧", "🇩🇪", "❤️", "™", "©", "☃", "🏳️‍🌈"]
CONTROLS = ["\x00", "\x01", "\x1b", "\x7f", "\u0080", "\u200d", "\u200e", "\u00ad", "\ufffd",
            "\ufffe", "\u0378", "\ue000", "\U000e0001", "\U0010ffff"]
SIGNS = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + ["...", "--", "==", "//", "/*", "¿", "«", "»",
         "。", "、", "！", "（", "—", "…", "€", "+", "×", "→", "\u2018", "\u201c", "\uff5e"]
MARKS = ["\u0300", "\u0301", "\u0327", "\u0323", "\u0345", "\u05b0", "\u064b", "\u093c", "\u20dd",
         "\ufe0f", "\u3099", "\u0334", "\u1dce", "\u0f71", "\u0903"]


def scalar(rng):
    limit = rng.choice([0x80, 0x180, 0x800, 0x3000, 0x10000, 0x20000, 0x110000])
    while True:
        c = rng.randrange(limit)
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def part(rng, special):
    kind = rng.randrange(16)
    if kind < 3:
        return rng.choice(WORDS)
    if kind == 3:
        return " " + rng.choice(WORDS)
    if kind == 4:
        return rng.choice(SPACES) * rng.choice([1, 1, 1, 2, 3, 7])
    if kind == 5:
        return "".join(rng.choice("0123456789") for _ in range(rng.randrange(1, 9)))
    if kind == 6:
        return rng.choice(WORDS) + rng.choice(CONTRACTIONS) + rng.choice(["", "a", " "])
    if kind == 7:
        return rng.choice(EMOJI)
    if kind == 8:
        return rng.choice(CONTROLS)
    if kind == 9:
        return "".join(rng.choice(SIGNS) for _ in range(rng.randrange(1, 4)))
    if kind == 10:
        return rng.choice(["", "a", "\u00e9", "\u0915", "\uac00"]) + "".join(
            rng.choice(MARKS) for _ in range(rng.randrange(1, 4)))
    if kind == 11:
        return scalar(rng)
    if kind == 12 and special:
        text = rng.choice(special)
        cut = rng.randrange(4)
        return text if cut else text[: rng.randrange(len(text))] + rng.choice(["", " ", "x"])
    if kind == 13:
        return " "
    if kind == 14:
        return rng.choice("abcxyzABC\u00e9\u00df") * rng.choice([1, 2, 5, 30])
    return rng.choice(WORDS).upper()


def texts(seed, count, special=(), longest=12):
    """The same texts for the same arguments. A third of them are short."""
    rng = random.Random(seed)
    special = list(special)
    for _ in range(count):
        size = rng.randrange(1, 4) if rng.randrange(3) == 0 else rng.randrange(1, longest)
        yield "".join(part(rng, special) for _ in range(size))
