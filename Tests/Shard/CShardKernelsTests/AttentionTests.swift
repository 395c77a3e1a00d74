import CShardKernels
import Testing

/// A pool of blocks whose order in memory is not that of the sequence, and a naive oracle beside it.
private final class Pool {
  var kv: pk_kv
  let blocks: [Int32]
  private(set) var keys: [[[Float]]] = []
  private(set) var values: [[[Float]]] = []
  private let memory: [UnsafeMutableRawPointer]

  /// `valueSize` nil: values are the keys' own.
  init(
    type: Int, tokens: Int, kvHeads: Int, keySize: Int, valueSize: Int, isShared: Bool = false,
    blockTokens: Int = 16, seed: Int
  ) {
    let count = (tokens + blockTokens - 1) / blockTokens
    blocks = (0..<count).map { Int32(($0 * 7 + 3) % (count + 1)) }.uniqued(below: count + 8)
    let size = pk_kv_block_bytes(Int32(type), Int32(blockTokens), Int32(kvHeads), Int32(keySize))
    let valueBytes = pk_kv_block_bytes(
      Int32(type), Int32(blockTokens), Int32(kvHeads), Int32(valueSize))
    let all = count + 8
    func allocate(_ bytes: Int) -> UnsafeMutableRawPointer {
      let memory = UnsafeMutableRawPointer.allocate(byteCount: max(bytes, 64), alignment: 64)
      // NaN everywhere: what was not stored must not be read.
      memory.initializeMemory(as: UInt8.self, repeating: 0xff, count: max(bytes, 64))
      return memory
    }
    let keyMemory = allocate(size * all)
    let valueMemory = isShared ? keyMemory : allocate(valueBytes * all)
    memory = isShared ? [keyMemory] : [keyMemory, valueMemory]
    kv = pk_kv(
      keys: keyMemory, values: valueMemory, type: Int32(type), block_tokens: Int32(blockTokens),
      kv_heads: Int32(kvHeads), key_size: Int32(keySize), value_size: Int32(valueSize),
      value_stride: Int32(isShared ? keySize : valueSize))
    var noise = Noise(seed)
    func kept(_ row: [Float]) -> [Float] {
      guard type == PK_BF16 else { return row }
      var halves = [UInt16](repeating: 0, count: row.count)
      var back = row
      pk_to_bf16(row, row.count, &halves)
      pk_from_bf16(halves, row.count, &back)
      return back
    }
    for token in 0..<tokens {
      var tokenKeys: [[Float]] = []
      var tokenValues: [[Float]] = []
      for head in 0..<kvHeads {
        let key = noise.row(keySize)
        let value = isShared ? Array(key[..<valueSize]) : noise.row(valueSize)
        let block = blocks[token / blockTokens]
        let slot = Int32(token % blockTokens)
        if isShared {
          pk_kv_store(&kv, block, slot, Int32(head), key, nil)
        } else {
          pk_kv_store(&kv, block, slot, Int32(head), key, value)
        }
        tokenKeys.append(kept(key))
        tokenValues.append(kept(value))
      }
      keys.append(tokenKeys)
      values.append(tokenValues)
    }
  }

  deinit { for memory in memory { memory.deallocate() } }

  func attend(_ q: [Float], count: Int, position: Int, head: Int, scale: Float) -> [Float] {
    let width = Int(kv.value_size)
    var out = [Float](repeating: .nan, count: count * width)
    var scratch = [Float](
      repeating: .nan, count: pk_attention_scratch(Int32(count), Int32(position + count - 1)))
    pk_attention(
      &kv, blocks, Int32(head), q, Int(kv.key_size), Int32(count), Int32(position), scale, &out,
      width, &scratch)
    return out
  }

  func oracle(_ q: [Float], position: Int, head: Int, scale: Float) -> [Double] {
    naive(
      q, keys: keys[...position].map { $0[head] }, values: values[...position].map { $0[head] },
      scale: scale)
  }
}

extension [Int32] {
  /// Distinct block numbers: a repeated one takes the next that is free.
  fileprivate func uniqued(below limit: Int) -> [Int32] {
    var seen: Set<Int32> = []
    return map { block in
      var block = block
      while seen.contains(block) { block = (block + 1) % Int32(limit) }
      seen.insert(block)
      return block
    }
  }
}

private func naive(
  _ q: [Float], keys: [[Float]], values: [[Float]], scale: Float
) -> [Double] {
  let scores = keys.map { key in
    Double(scale) * zip(q, key).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
  }
  let most = scores.max()!
  let weights = scores.map { exponential($0 - most) }
  let sum = weights.reduce(0, +)
  var out = [Double](repeating: 0, count: values[0].count)
  for (weight, value) in zip(weights, values) {
    for i in 0..<out.count { out[i] += weight / sum * Double(value[i]) }
  }
  return out
}

extension KernelTests {
  @Suite struct AttentionTests {
    // Off by one at a block's edge, a head's memory taken for another's, an element of an odd size
    // forgotten: each shows against the naive sum. Fresh memory is NaN, so that reading a token that
    // is not there shows too.
    @Test(arguments: [PK_FP32, PK_BF16], [1, 8, 20, 33, 64, 80, 96, 128, 192])
    func agreesWithTheNaiveSum(type: Int, size: Int) {
      let tokens = 150
      let pool = Pool(
        type: type, tokens: tokens, kvHeads: 2, keySize: size, valueSize: size, seed: size)
      var noise = Noise(size + 1)
      let scale = 2 / Float(size).squareRoot()
      for position in [0, 1, 14, 15, 16, 17, 31, 32, 127, 128, 129, 149] {
        let q = noise.row(size)
        let expected = pool.oracle(q, position: position, head: 1, scale: scale)
        pk_use_level(Int32(PK_PORTABLE))
        let portable = pool.attend(q, count: 1, position: position, head: 1, scale: scale)
        atEveryLevel { level in
          let out = pool.attend(q, count: 1, position: position, head: 1, scale: scale)
          #expect(bits(out) == bits(portable))
          for i in 0..<size {
            #expect(abs(Double(out[i]) - expected[i]) < 2e-6, "position \(position)")
          }
        }
      }
    }

    // A prompt in chunks, whole or token by token must give the same bits: prefix caches and
    // preemption rest on it.
    @Test(arguments: [PK_FP32, PK_BF16], [40, 64])
    func chunksAreTheWhole(type: Int, size: Int) {
      let tokens = 160
      let pool = Pool(
        type: type, tokens: tokens, kvHeads: 1, keySize: size, valueSize: size, seed: 5)
      var noise = Noise(6)
      let q = noise.row(tokens * size)
      atEveryLevel { level in
        func attend(_ first: Int, _ count: Int) -> [Float] {
          pool.attend(
            Array(q[first * size..<(first + count) * size]), count: count, position: first,
            head: 0, scale: 0.2)
        }
        let single = (0..<tokens).map { attend($0, 1) }
        for chunk in level == 0 ? [5] : [2, 3, 4, 5, 6, 7, 13, 16, 50, 160] {
          for first in stride(from: 0, to: tokens, by: chunk) {
            let count = min(chunk, tokens - first)
            let out = attend(first, count)
            for r in 0..<count {
              #expect(
                bits(out[r * size..<(r + 1) * size]) == bits(single[first + r]),
                "row \(first + r) in chunks of \(chunk)")
            }
          }
        }
      }
    }

    // MLA: the latent is the first part of the key, and the value. 576 elements take more than one
    // slice of a key.
    @Test(arguments: [PK_FP32, PK_BF16], [(576, 512), (40, 32), (1_100, 1_030)])
    func valuesMayLieInsideKeys(type: Int, sizes: (Int, Int)) {
      let (keySize, valueSize) = sizes
      let pool = Pool(
        type: type, tokens: 40, kvHeads: 1, keySize: keySize, valueSize: valueSize, isShared: true,
        seed: 9)
      var noise = Noise(10)
      let count = 7
      let q = noise.row(count * keySize)
      pk_use_level(Int32(PK_PORTABLE))
      let portable = pool.attend(q, count: count, position: 33, head: 0, scale: 0.1)
      atEveryLevel { _ in
        let out = pool.attend(q, count: count, position: 33, head: 0, scale: 0.1)
        #expect(bits(out) == bits(portable))
        for r in 0..<count {
          let expected = pool.oracle(
            Array(q[r * keySize..<(r + 1) * keySize]), position: 33 + r, head: 0, scale: 0.1)
          for i in 0..<valueSize {
            #expect(abs(Double(out[r * valueSize + i]) - expected[i]) < 3e-6)
          }
        }
      }
    }

    // Heads of a group read keys and values once; each must get what it gets alone.
    @Test(arguments: [1, 2, 3, 4, 7, 8, 13])
    func aGroupOfHeadsIsItsHeads(heads: Int) {
      for type in [PK_FP32, PK_BF16] {
        let pool = Pool(
          type: type, tokens: 100, kvHeads: 2, keySize: 64, valueSize: 64, seed: heads)
        var noise = Noise(heads)
        let q = noise.row(heads * 64)
        for position in [0, 15, 16, 99] {
          atEveryLevel { _ in
            var out = [Float](repeating: .nan, count: heads * 64)
            var scratch = [Float](
              repeating: .nan, count: pk_attention_scratch(Int32(heads), Int32(position)))
            pk_attention_group(
              &pool.kv, pool.blocks, 1, q, 64, Int32(heads), Int32(position), 0.125, &out, 64,
              &scratch)
            for head in 0..<heads {
              let alone = pool.attend(
                Array(q[head * 64..<(head + 1) * 64]), count: 1, position: position, head: 1,
                scale: 0.125)
              #expect(bits(out[head * 64..<(head + 1) * 64]) == bits(alone))
            }
          }
        }
      }
    }

    // Blocks need not be of 16 tokens, nor values as long as keys.
    @Test(arguments: [1, 3, 8, 32, 100])
    func blocksOfAnySize(blockTokens: Int) {
      let pool = Pool(
        type: PK_BF16, tokens: 70, kvHeads: 3, keySize: 192, valueSize: 128,
        blockTokens: blockTokens, seed: blockTokens)
      var noise = Noise(2)
      let q = noise.row(192)
      let expected = pool.oracle(q, position: 69, head: 2, scale: 0.07)
      atEveryLevel { _ in
        let out = pool.attend(q, count: 1, position: 69, head: 2, scale: 0.07)
        for i in 0..<128 { #expect(abs(Double(out[i]) - expected[i]) < 2e-6) }
      }
    }

    // Scores of thousands must not overflow on the way to their softmax, and a NaN query must be seen
    // in its own row only.
    @Test func extremes() {
      let pool = Pool(
        type: PK_FP32, tokens: 20, kvHeads: 1, keySize: 16, valueSize: 16, seed: 1)
      var noise = Noise(4)
      var q = noise.row(3 * 16, scale: 1e4)
      for i in 16..<32 { q[i] = .nan }
      atEveryLevel { _ in
        let out = pool.attend(q, count: 3, position: 17, head: 0, scale: 1)
        #expect(out[..<16].allSatisfy { $0.isFinite })
        #expect(out[16..<32].allSatisfy { $0.isNaN })
        #expect(out[32...].allSatisfy { $0.isFinite })
        #expect(pool.attend([], count: 0, position: 3, head: 0, scale: 1).isEmpty)
      }
    }

    // Encoders: every row sees all, whatever the number of rows.
    @Test(arguments: [1, 2, 11, 12, 13, 130], [32, 20])
    func fullAttentionAgreesWithTheNaiveSum(count: Int, size: Int) {
      var noise = Noise(count)
      let stride = size + 12
      let q = noise.row(count * stride)
      let k = noise.row(count * stride)
      let v = noise.row(count * stride)
      func rows(_ x: [Float]) -> [[Float]] {
        (0..<count).map { Array(x[$0 * stride..<$0 * stride + size]) }
      }
      var first: [UInt32] = []
      atEveryLevel { level in
        var out = [Float](repeating: .nan, count: count * size)
        var scratch = [Float](
          repeating: .nan, count: pk_attention_scratch(Int32(count), Int32(count - 1)))
        pk_attention_full(
          q, k, v, stride, Int32(count), Int32(size), 0.3, &out, size, &scratch)
        if level == 0 { first = bits(out) }
        #expect(bits(out) == first)
        for r in [0, count / 2, count - 1] {
          let expected = naive(rows(q)[r], keys: rows(k), values: rows(v), scale: 0.3)
          for i in 0..<size {
            #expect(abs(Double(out[r * size + i]) - expected[i]) < 2e-6)
          }
        }
      }
    }
  }
}
