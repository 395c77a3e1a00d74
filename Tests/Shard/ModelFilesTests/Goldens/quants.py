"""Writes quants.bin: blocks of every quantised type, and the floats that gguf's reference makes of
them. Needs the packages gguf and numpy. Record: type, rows, columns (u32), then bytes, then floats."""
import struct
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf.quants import dequantize

random = np.random.default_rng(3)
ROWS, COLUMNS = 2, 512
# Bytes of a block, numbers in it, and where its fp16 scales stand.
TYPES = {T.Q4_0: (18, 32, [0]), T.Q4_1: (20, 32, [0, 2]), T.Q5_0: (22, 32, [0]),
         T.Q5_1: (24, 32, [0, 2]), T.Q8_0: (34, 32, [0]), T.Q4_K: (144, 256, [0, 2]),
         T.Q5_K: (176, 256, [0, 2]), T.Q6_K: (210, 256, [208])}
with open("quants.bin", "wb") as out:
    for kind, (size, numbers, scales) in TYPES.items():
        blocks = random.integers(0, 256, (ROWS * COLUMNS // numbers, size), dtype=np.uint8)
        for index, block in enumerate(blocks):
            for place in scales:
                # The last has a subnormal scale, the others ordinary ones of both signs.
                scale = 3e-7 if index == len(blocks) - 1 else random.normal(0, 0.1)
                block[place:place + 2] = np.frombuffer(np.float16(scale).tobytes(), np.uint8)
        rows = blocks.reshape(ROWS, -1)
        out.write(struct.pack("<III", kind, ROWS, COLUMNS))
        out.write(rows.tobytes())
        out.write(dequantize(rows, kind).astype("<f4").tobytes())
