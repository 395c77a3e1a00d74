"""Makes protobuf.txt: messages as Python's protobuf runtime reads them.

Each line: the message's name, the bytes, and the bytes that the runtime writes for what it has read
(map keys in order, unknown fields dropped), or `refused`. Bytes are hexadecimal; `-` is none.
Run with an interpreter that has the package protobuf; the output is the same every time.
"""

import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../../IntegrationTests"))

from google.protobuf.message import DecodeError  # noqa: E402
from kserve_messages import message  # noqa: E402

NAMES = ["ModelInferRequest", "ModelInferResponse", "ModelStreamInferResponse", "ModelReadyRequest"]
EDGES = {
    "int32": [0, 1, -1, 2**31 - 1, -(2**31)],
    "int64": [0, 1, -1, 127, 128, 2**63 - 1, -(2**63)],
    "uint32": [0, 1, 2**32 - 1],
    "uint64": [0, 1, 2**64 - 1],
    "text": ["", "a", "käse", "\U0001f980", "long" * 33],
    "float": [0.0, -0.0, 1.5, float("inf"), 3.4e38],
}


def fill(random, value, depth=0):
    for field in value.DESCRIPTOR.fields:
        if random.random() < 0.45:
            continue
        kind = field.cpp_type
        count = random.randint(1, 3) if field.is_repeated else 1
        if field.message_type and field.message_type.GetOptions().map_entry:
            for _ in range(count):
                # The runtime puts an empty key behind all others, which is an order of its own.
                fill(random, getattr(value, field.name)[random.choice(EDGES["text"][1:])])
        elif kind == field.CPPTYPE_MESSAGE:
            for _ in range(count):
                held = getattr(value, field.name)
                fill(random, held.add() if field.is_repeated else held)
                if not field.is_repeated:
                    held.SetInParent()
        else:
            items = [scalar(random, field) for _ in range(count)]
            if field.is_repeated:
                getattr(value, field.name).extend(items)
            else:
                setattr(value, field.name, items[0])


def scalar(random, field):
    kind = field.type
    if kind == field.TYPE_BOOL:
        return random.random() < 0.5
    if kind == field.TYPE_STRING:
        return random.choice(EDGES["text"])
    if kind == field.TYPE_BYTES:
        return bytes(random.randrange(256) for _ in range(random.randint(0, 5)))
    if kind in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return random.choice(EDGES["float"])
    name = {field.TYPE_INT32: "int32", field.TYPE_INT64: "int64", field.TYPE_UINT32: "uint32",
            field.TYPE_UINT64: "uint64"}[kind]
    return random.choice(EDGES[name])


def varint(value):
    out = b""
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def unknown(random):
    """A field that nobody knows, of any wire type."""
    number = random.choice([20, 1000, 2**29 - 1])
    kind = random.randrange(5)
    if kind == 0:
        return varint(number << 3) + varint(random.choice([0, 300, 2**64 - 1]))
    if kind == 1:
        return varint(number << 3 | 1) + b"12345678"
    if kind == 2:
        return varint(number << 3 | 2) + varint(3) + b"\xff\x00a"
    if kind == 3:
        inner = unknown(random) if random.random() < 0.5 else b""
        return varint(number << 3 | 3) + inner + varint(number << 3 | 4)
    return varint(number << 3 | 5) + b"1234"


def mutated(random, data):
    data = bytearray(data)
    for _ in range(random.randint(1, 3)):
        kind = random.randrange(5)
        place = random.randrange(len(data) + 1)
        if kind == 0 and data:
            data[place % len(data)] ^= 1 << random.randrange(8)
        elif kind == 1 and data:
            del data[place % len(data)]
        elif kind == 2:
            data.insert(place, random.choice([0, 0x0a, 0x12, 0x22, 0x2a, 0x80, 0xff]))
        elif kind == 3:
            data = data[:place]
        else:
            data = data[:place] + bytearray(unknown(random)) + data[place:]
    return bytes(data)


def verdict(name, data):
    try:
        value = message(name).FromString(data)
    except DecodeError:
        return "refused"
    value.DiscardUnknownFields()
    return value.SerializeToString(deterministic=True).hex() or "-"


def main():
    chance = random.Random(20)
    lines = []
    for index in range(300):
        name = NAMES[index % len(NAMES)]
        value = message(name)()
        fill(chance, value)
        data = value.SerializeToString()
        if index % 3 == 1:
            # Twice in a row is a merge; with fields between that nobody knows.
            other = message(name)()
            fill(chance, other)
            data += unknown(chance) + other.SerializeToString()
        if index % 3 == 2:
            data = mutated(chance, data)
        if len(data) < 250:
            lines.append(f"{name} {data.hex() or '-'} {verdict(name, data)}")
    # The wire format's own cases, and what must be refused.
    for name, data in [
        ("ModelReadyRequest", "0a03414243"),
        # Lists of numbers may be packed or not, and both may be mixed.
        ("ModelInferRequest", "2a0618ffff03" + "1a00"),
        ("ModelInferRequest", "2a08" + "1801" + "1a020203" + "1804"),
        ("ModelInferRequest", "2a0a18ffffffffffffffff7f"),
        # A number of ten bytes whose last has more than one bit; eleven bytes.
        ("ModelReadyRequest", "18ffffffffffffffffff01"),
        ("ModelReadyRequest", "18ffffffffffffffffff02"),
        ("ModelReadyRequest", "18ffffffffffffffffffff01"),
        # A length beyond the end; the number 0; wire types 6 and 7; ends without a beginning.
        ("ModelReadyRequest", "0a0541"),
        ("ModelReadyRequest", "0000"),
        ("ModelReadyRequest", "0e00"),
        ("ModelReadyRequest", "0f00"),
        ("ModelReadyRequest", "1c"),
        ("ModelReadyRequest", "1b"),
        ("ModelReadyRequest", "1b24"),
        ("ModelReadyRequest", "1b1c"),
        # Tags that are too long, or have too many bits.
        ("ModelReadyRequest", "8a80808000" + "0141"),
        ("ModelReadyRequest", "8a8080808000" + "0141"),
        ("ModelReadyRequest", "fdffffff1f" + "01020304"),
        # No UTF-8: cut, overlong, a surrogate.
        ("ModelReadyRequest", "0a01ff"),
        ("ModelReadyRequest", "0a02c080"),
        ("ModelReadyRequest", "0a03eda080"),
        ("ModelReadyRequest", "0a04f09fa680"),
        # A known number with another wire type is unknown.
        ("ModelReadyRequest", "0801"),
        # Entries of maps without key, without value, with one twice.
        ("ModelInferRequest", "2200"),
        ("ModelInferRequest", "22030a0161"),
        ("ModelInferRequest", "220412020801"),
        ("ModelInferRequest", "22080a01610a01621200"),
        ("ModelInferRequest", "220b0a016112020801" + "12021002"),
        # Half an element in a packed list of floats.
        ("ModelInferRequest", "2a07" + "2a05" + "3203000000"),
    ]:
        data = bytes.fromhex(data)
        lines.append(f"{name} {data.hex() or '-'} {verdict(name, data)}")
    with open(os.path.join(HERE, "protobuf.txt"), "w") as file:
        file.write("\n".join(lines) + "\n")


main()
