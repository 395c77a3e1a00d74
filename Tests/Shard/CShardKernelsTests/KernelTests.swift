import CShardKernels
import Primitives
import Testing

/// A matrix of random weights, packed, and what it is in numbers.
private final class Weights {
  var matrix = pk_matrix()
  let rows: Int
  let columns: Int
  private let memory: UnsafeMutableRawPointer
  private let bytes: Int

  init(_ type: Int, _ rows: Int, _ columns: Int, firstBlock: Int = 128, seed: UInt64) {
    self.rows = rows
    self.columns = columns
    bytes = max(64, pk_matrix_bytes(Int32(type), Int32(rows), Int32(columns), Int32(firstBlock)))
    memory = pk_memory_map(bytes)
    pk_matrix_place(
      &matrix, memory, Int32(type), Int32(rows), Int32(columns), Int32(firstBlock))
    var random = SeededRandom(seed: seed)
    let values = (0..<rows * columns).map { _ in Float(random.unit()) - 0.5 }
    for first in stride(from: 0, to: rows, by: 128) {
      values.withUnsafeBufferPointer {
        pk_matrix_pack_f32(
          &matrix, Int32(first), Int32(min(128, rows - first)),
          $0.baseAddress! + first * columns, columns)
      }
    }
  }

  deinit { pk_memory_unmap(memory, bytes) }

  /// As they were rounded.
  func row(_ row: Int) -> [Float] {
    var values = [Float](repeating: 0, count: columns)
    pk_matrix_row(&matrix, Int32(row), &values)
    return values
  }

  func times(_ x: [Float], count: Int, panels: Range<Int>? = nil) -> [Float] {
    var y = [Float](repeating: 0, count: count * rows)
    let panels = panels ?? 0..<(rows + 15) / 16
    pk_linear(
      &matrix, Int32(panels.lowerBound), Int32(panels.upperBound), x, columns, Int32(count), &y,
      rows, nil, 0)
    return y
  }
}

private func numbers(_ count: Int, seed: UInt64) -> [Float] {
  var random = SeededRandom(seed: seed)
  return (0..<count).map { _ in Float(random.unit()) * 2 - 1 }
}

/// One after the other: the level is the process's.
@Suite(.serialized) struct KernelTests {
  static let types = [Int(PK_FP32), Int(PK_BF16), Int(PK_FP8)]
  static let levels = Array(0...Int(pk_best_level()))
  /// Around panels of 16 rows, segments of 128 columns, and odd ends.
  static let shapes = [
    (1, 1), (15, 7), (16, 128), (17, 129), (40, 127), (64, 576), (130, 260), (256, 96),
  ]

  // Any wrong lane, tail or scale is far beyond the rounding of a sum.
  @Test(arguments: types) func productsEqualThoseOfDoubles(type: Int) {
    for level in Self.levels {
      pk_use_level(Int32(level))
      for (rows, columns) in Self.shapes {
        let weights = Weights(type, rows, columns, seed: UInt64(rows * 1_000 + columns))
        for count in [1, 2, 3, 5, 6, 7, 13, 50] {
          let x = numbers(count * columns, seed: UInt64(count))
          let y = weights.times(x, count: count)
          for row in stride(from: 0, to: rows, by: max(1, rows / 9)) {
            let w = weights.row(row)
            for index in 0..<count {
              var sum = 0.0
              for column in 0..<columns {
                sum += Double(w[column]) * Double(x[index * columns + column])
              }
              #expect(abs(Double(y[index * rows + row]) - sum) < 2e-4)
            }
          }
        }
      }
    }
    pk_use_level(pk_best_level())
  }

  // The rule that all else stands on: a row's bits are its own, whatever comes with it, whoever
  // computes the other panels, and on every level of the machine.
  @Test(arguments: types) func aRowsBitsAreItsOwn(type: Int) {
    for (rows, columns) in Self.shapes {
      let weights = Weights(type, rows, columns, firstBlock: min(columns, 48), seed: 3)
      let x = numbers(50 * columns, seed: 9)
      pk_use_level(Int32(PK_PORTABLE))
      let portable = weights.times(x, count: 50)
      for level in Self.levels where level < Int(PK_AVX512BF16) {
        pk_use_level(Int32(level))
        #expect(weights.times(x, count: 50) == portable)
        for count in [1, 2, 4, 6, 7, 12, 13, 37] {
          let some = weights.times(Array(x[..<(count * columns)]), count: count)
          #expect(some == Array(portable[..<(count * rows)]))
        }
        let panels = (rows + 15) / 16
        let parts = (0..<panels).map { weights.times(x, count: 3, panels: $0..<$0 + 1) }
        for index in 0..<3 * rows {
          #expect(parts[index % rows / 16][index] == portable[index])
        }
      }
    }
    pk_use_level(pk_best_level())
  }

  // e4m3 with a scale for each block: 3 bits of mantissa, so at most one part in 16.
  @Test func fp8KeepsThreeBits() {
    let weights = Weights(Int(PK_FP8), 130, 300, seed: 4)
    let exact = Weights(Int(PK_FP32), 130, 300, seed: 4)
    for row in 0..<130 {
      for (rounded, value) in zip(weights.row(row), exact.row(row)) {
        #expect(abs(rounded - value) <= max(abs(value) / 16, 0.5 / 448))
      }
    }
  }

  @Test func everyCodeOfE4M3() {
    var floats = [Float](repeating: 0, count: 256)
    pk_from_e4m3((0..<256).map { UInt8($0) }, 256, &floats)
    for code in 0..<256 {
      let exponent = code >> 3 & 15
      let mantissa = Float(code & 7)
      guard code & 0x7f != 0x7f else {
        #expect(floats[code].isNaN)
        continue
      }
      var value: Float = exponent == 0 ? mantissa / 512 : 1 + mantissa / 8
      if exponent > 0 {
        for _ in 0..<abs(exponent - 7) { value = exponent > 7 ? value * 2 : value / 2 }
      }
      #expect(floats[code] == (code < 128 ? value : -value))
    }
  }

  // Ties go to even; the sign, infinities and zero stay.
  @Test func bf16RoundsToEven() {
    let bits: [UInt32] = [
      0x3f80_8000, 0x3f81_8000, 0x3f80_8001, 0x3f80_7fff, 0x7f80_0000, 0x8000_0000,
    ]
    var out = [UInt16](repeating: 0, count: bits.count)
    pk_to_bf16(bits.map { Float(bitPattern: $0) }, bits.count, &out)
    #expect(out == [0x3f80, 0x3f82, 0x3f81, 0x3f80, 0x7f80, 0x8000])
  }

  // Rows of a tile, heads of a group, and one at a time: the same bits; and right, by doubles.
  @Test(arguments: [Int(PK_FP32), Int(PK_BF16)]) func attentionIsTheSameHoweverItIsAsked(type: Int)
  {
    for level in Self.levels {
      pk_use_level(Int32(level))
      for (size, tokens) in [(8, 1), (20, 17), (64, 33), (96, 48), (192, 70)] {
        let blocks = (tokens + 15) / 16
        let bytes = pk_kv_block_bytes(Int32(type), 16, 2, Int32(size))
        let keys = pk_memory_map(bytes * blocks)!
        let values = pk_memory_map(bytes * blocks)!
        defer {
          pk_memory_unmap(keys, bytes * blocks)
          pk_memory_unmap(values, bytes * blocks)
        }
        var pool = pk_kv(
          keys: keys, values: values, type: Int32(type), block_tokens: 16, kv_heads: 2,
          key_size: Int32(size), value_size: Int32(size), value_stride: Int32(size))
        // Blocks lie in another order than tokens.
        let table = (0..<Int32(blocks)).reversed().map { $0 }
        // Exact in bf16: eighths.
        let k = numbers(tokens * size, seed: 1).map { ($0 * 8).rounded() / 8 }
        let v = numbers(tokens * size, seed: 2).map { ($0 * 8).rounded() / 8 }
        for token in 0..<tokens {
          k[(token * size)...].withUnsafeBufferPointer { key in
            v[(token * size)...].withUnsafeBufferPointer { value in
              pk_kv_store(
                &pool, table[token / 16], Int32(token % 16), 1, key.baseAddress,
                value.baseAddress)
            }
          }
        }
        let rows = min(tokens, 7)
        let q = numbers(rows * size, seed: 3)
        var scratch = [Float](
          repeating: 0, count: pk_attention_scratch(Int32(rows), Int32(tokens)))
        func attend(_ first: Int, _ count: Int) -> [Float] {
          var out = [Float](repeating: 0, count: count * size)
          pk_attention(
            &pool, table, 1, Array(q[(first * size)...]), size, Int32(count),
            Int32(tokens - rows + first), 0.3, &out, size, &scratch)
          return out
        }
        let whole = attend(0, rows)
        #expect((0..<rows).flatMap { attend($0, 1) } == whole)
        var group = [Float](repeating: 0, count: rows * size)
        pk_attention_group(
          &pool, table, 1, q, size, Int32(rows), Int32(tokens - 1), 0.3, &group, size, &scratch)
        #expect(Array(group[((rows - 1) * size)...]) == Array(whole[((rows - 1) * size)...]))
        for row in 0..<rows {
          let seen = tokens - rows + row + 1
          var scores = (0..<seen).map { token in
            0.3
              * (0..<size).reduce(0.0) {
                $0 + Double(q[row * size + $1]) * Double(k[token * size + $1])
              }
          }
          let most = scores.max() ?? 0
          scores = scores.map { exponential($0 - most) }
          let total = scores.reduce(0, +)
          for index in 0..<size {
            let expected =
              (0..<seen).reduce(0.0) { $0 + scores[$1] * Double(v[$1 * size + index]) } / total
            #expect(abs(Double(whole[row * size + index]) - expected) < 1e-5)
          }
        }
      }
    }
    pk_use_level(pk_best_level())
  }

  @Test func theGreatestIsTheFirstOfEquals() {
    var isFinite: Int32 = 1
    let x: [Float] = [1, 3, -2, 3, 3, 0, 1, 2, 3]
    #expect(pk_argmax(x, x.count, &isFinite) == 1)
    #expect(isFinite == 1)
    _ = pk_argmax(x + [.nan], x.count + 1, &isFinite)
    #expect(isFinite == 0)
    var most: Float = 0
    var sum: Float = 0
    pk_log_sum_exp([1, 2, 3], 3, &most, &sum)
    #expect(most == 3 && abs(sum - 3.407_606) < 1e-5)
  }

  // More threads than cores, and many barriers: nobody is left behind, nothing is counted twice.
  @Test func aTeamKeepsInStep() throws {
    final class Work {
      let team: OpaquePointer
      let counts = UnsafeMutablePointer<Int>.allocate(capacity: 5)

      init(_ team: OpaquePointer) {
        self.team = team
        counts.initialize(repeating: 0, count: 5)
      }

      deinit { counts.deallocate() }
    }
    let team = try #require(pk_team_create(5, 0))
    defer { pk_team_destroy(team) }
    let work = Work(team)
    pk_team_run(
      team,
      { context, thread in
        let work = Unmanaged<Work>.fromOpaque(context!).takeUnretainedValue()
        for round in 0..<200 {
          work.counts[Int(thread)] = round
          pk_team_barrier(work.team, thread)
          for other in 0..<5 where work.counts[other] != round {
            preconditionFailure("thread \(other) was not in step")
          }
          pk_team_barrier(work.team, thread)
        }
      }, Unmanaged.passUnretained(work).toOpaque())
    #expect((0..<5).allSatisfy { work.counts[$0] == 199 })
  }
}
