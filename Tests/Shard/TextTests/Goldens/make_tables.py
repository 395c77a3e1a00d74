"""Writes Sources/Shard/Text/UnicodeData.swift: what Hugging Face tokenizers thinks of each scalar.

    python Tests/Shard/TextTests/Goldens/make_tables.py

Everything is asked of the `tokenizers` package itself (0.23.3 was used), since its regular
expressions, its normalizers and Rust each carry their own version of Unicode, and our ids must be
equal to its ids. Python's unicodedata only names candidates for combining classes.
"""

import pathlib
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
SCALARS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
HANGUL = range(0xAC00, 0xD7A4)


def alone(pre_tokenizer):
    """The scalars that stand alone between two letters, and those that vanish."""
    text = "a".join(["", *SCALARS, ""])
    seen, isolated = set(), set()
    for piece, _ in pre_tokenizer.pre_tokenize_str(text):
        seen.update(piece)
        if len(piece) == 1 and piece != "a":
            isolated.add(piece)
    return isolated, set(SCALARS) - seen


def matching(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    rest = set()
    for piece, _ in split.pre_tokenize_str("".join(SCALARS)):
        rest.update(piece)
    return set(SCALARS) - rest


def normalized(normalizer, scalars=SCALARS, prefix=""):
    """What each scalar becomes behind the prefix. A line break keeps neighbours apart."""
    others = [c for c in scalars if c != "\n"]
    lines = normalizer.normalize_str("\n".join(prefix + c for c in others)).split("\n")
    assert len(lines) == len(others)
    return dict(zip(others, lines))


def words():
    """What Rust's regular expressions call \\w, by way of an added token that is a single word."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.add_tokens([AddedToken("<w>", single_word=True, normalized=False)])
    found = set()
    for start in range(0, len(SCALARS), 20_000):
        part = SCALARS[start : start + 20_000]
        encoding = tokenizer.encode("".join(c + "<w> " for c in part))
        apart = {offset // 5 for offset, _ in encoding.offsets}
        found.update(c for i, c in enumerate(part) if i not in apart)
    return found


def number(value):
    text = ""
    while True:
        text += ALPHABET[value & 31 | (32 if value > 31 else 0)]
        value >>= 5
        if not value:
            return text


def signed(value):
    return number(value * 2 if value >= 0 else -value * 2 - 1)


def ranges(value_of):
    """Where the value changes: distance from the last change, new value."""
    text, last, current = "", 0, 0
    for c in range(0x110000):
        value = 0 if 0xD800 <= c < 0xE000 else value_of(chr(c))
        if value != current:
            text += number(c - last) + number(value)
            last, current = c, value
    return text


def mappings(table):
    """Distance from the last scalar, how many it becomes, and each less the scalar."""
    text, last = "", 0
    for c in sorted(table):
        text += number(ord(c) - last) + number(len(table[c]))
        text += "".join(signed(ord(d) - ord(c)) for d in table[c])
        last = ord(c)
    return text


# Classes of the pre-tokenizers.
letter, numeral, mark, punctuation, symbol = (matching(r"\p{%s}" % k) for k in "LNMPS")
space = matching(r"\s")
digit, _ = alone(pre_tokenizers.Digits(individual_digits=True))
word = words()
sets = [letter, numeral, mark, punctuation, symbol, space, digit, word]
classes = ranges(lambda c: sum(1 << i for i, s in enumerate(sets) if c in s))

# Canonical normalisation.
nfd, nfc = normalized(normalizers.NFD()), normalized(normalizers.NFC())
nfd["\n"] = nfc["\n"] = "\n"
combining = {}
raised = normalized(normalizers.NFD(), prefix="a\u0345")
for c in SCALARS:
    rank = unicodedata.combining(c)
    if c != "\n" and nfd[c] == c and raised[c] != "a\u0345" + c:
        assert 0 < rank < 240, hex(ord(c))
        combining[c] = rank
assert unicodedata.combining("\u0345") == 240
combining["\u0345"] = 240
# The classes themselves, as far as they show: pairs of neighbours in order of class.
order = sorted(combining, key=lambda c: combining[c])
for a, b in zip(order, order[1:]):
    swapped = normalizers.NFD().normalize_str("a" + b + a)
    assert (swapped == "a" + a + b) == (combining[a] < combining[b]), (hex(ord(a)), hex(ord(b)))

pairs = {}
for c in SCALARS:
    parts = nfd[c]
    if nfc[c] == c and parts != c and ord(c) not in HANGUL:
        first = normalizers.NFC().normalize_str(parts[:-1])
        assert len(first) == 1
        assert normalizers.NFC().normalize_str(first + parts[-1]) == c
        pairs[first, parts[-1]] = c
seconds = {b for _, b in pairs} | {chr(c) for c in [*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)]}


def stability(c):
    if c in combining:
        return combining[c]
    return 255 if nfc[c] != c or c in seconds else 0


stable = ranges(stability)
decompositions = mappings({c: d for c, d in nfd.items() if d != c and ord(c) not in HANGUL})
compositions = ""
last = 0
for (a, b), c in sorted(pairs.items()):
    compositions += number(ord(a) - last) + number(ord(b)) + signed(ord(c) - ord(a))
    last = ord(a)

# BERT.
bert = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
cleaned = normalizers.BertNormalizer(**bert | {"clean_text": True})
cleaned = dict(zip(
    [c for c in SCALARS if c != "a"],
    cleaned.normalize_str("a".join(c for c in SCALARS if c != "a")).split("a")))
cleaned["a"] = "a"
stripped = normalized(normalizers.BertNormalizer(**bert | {"strip_accents": True}))
stripped["\n"] = "\n"
marks = {c for c in SCALARS if nfd[c] == c and stripped[c] == ""}
for c in SCALARS:
    assert stripped[c] == "".join(d for d in nfd[c] if d not in marks)
    assert cleaned[c] in ("", " ", c)
lower = normalized(normalizers.Lowercase())
lower["\n"] = "\n"
split, white = alone(pre_tokenizers.BertPreTokenizer())


def bert_class(c):
    return (
        (cleaned[c] == "") * 1
        + (cleaned[c] == " " and c != " ") * 2
        + (c in marks) * 4
        + (c in split) * 8
        + (c in white) * 16
        + (nfd[c] != c) * 32
        + (lower[c] != c) * 64
    )


bert_classes = ranges(bert_class)
lowercase = mappings({c: d for c, d in lower.items() if d != c})

print({
    name: len(s)
    for name, s in dict(
        letter=letter, numeral=numeral, mark=mark, punctuation=punctuation, symbol=symbol,
        space=space, digit=digit, word=word, combining=combining, pairs=pairs, marks=marks,
        split=split, white=white).items()
})
print("word but not space etc.", len(digit ^ numeral), len(white ^ space))

tables = [
    ("classes", "Bits of `CharacterClass`.", classes),
    ("stability", "What `Normalization` calls stability.", stable),
    ("decompositions", "Full canonical decompositions, Hangul apart.", decompositions),
    ("compositions", "Pairs that canonical composition joins, Hangul apart.", compositions),
    ("bertClasses", "Bits of `BertClass`.", bert_classes),
    ("lowercase", "What each scalar becomes in lower case.", lowercase),
]
root = pathlib.Path(__file__).resolve().parents[4]
with open(root / "Sources/Shard/Text/UnicodeData.swift", "w") as file:
    file.write("// Written by Tests/Shard/TextTests/Goldens/make_tables.py: do not edit.\n\n")
    file.write("/// Tables about scalars, packed as text; `PackedNumbers` reads them.\nenum UnicodeData {\n")
    for i, (name, meaning, text) in enumerate(tables):
        file.write("\n" * (i > 0) + f"  /// {meaning}\n  static let {name}: StaticString = \"\"\"\n")
        for start in range(0, len(text), 94):
            file.write("    " + text[start : start + 94] + "\n")
        file.write('    """\n')
    file.write("}\n")
