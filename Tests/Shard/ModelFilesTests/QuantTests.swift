import CModelFiles
import Primitives
import Testing

@testable import ModelFiles

/// Stored numbers to floats, against gguf's reference and against every code of the small types.
struct QuantTests {
  struct Record {
    let storage: Storage
    let rows: Int
    let columns: Int
    let blocks: [UInt8]
    let floats: [Float]
  }

  static func records() throws -> [Record] {
    let bytes = try Golden.bytes("quants.bin")
    return bytes.withUnsafeBytes { bytes in
      var place = 0
      func word() -> Int {
        defer { place += 4 }
        return Int(bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self))
      }
      var records: [Record] = []
      while place < bytes.count {
        let storage = Storage(rawValue: UInt32(word()))!
        let (rows, columns) = (word(), word())
        let size = rows * columns / storage.blockNumbers * storage.blockBytes
        let blocks = Array(bytes[place..<(place + size)])
        place += size
        let floats = (0..<(rows * columns)).map { index in
          bytes.loadUnaligned(fromByteOffset: place + 4 * index, as: Float.self)
        }
        place += 4 * rows * columns
        records.append(
          Record(storage: storage, rows: rows, columns: columns, blocks: blocks, floats: floats))
      }
      return records
    }
  }

  // A wrong bit order or a wrong scale in any block type gives other floats: compared by bits.
  @Test func blocksAreReadAsTheReferenceReadsThem() throws {
    let records = try Self.records()
    #expect(records.count == 8)
    for record in records {
      var out = [Float](repeating: .nan, count: record.floats.count)
      for row in 0..<record.rows {
        record.blocks.withUnsafeBufferPointer { blocks in
          out.withUnsafeMutableBufferPointer { out in
            pf_read(
              Int32(record.storage.rawValue),
              blocks.baseAddress! + row * blocks.count / record.rows, 0, record.columns,
              out.baseAddress! + row * record.columns)
          }
        }
      }
      // 0 and -0 differ where a reference multiplies in another order; they are equal here.
      #expect(out == record.floats, "\(record.storage)")
    }
  }

  // A slice that begins or ends within a block must not read or write beside it.
  @Test(arguments: UInt64(0)..<8) func anySliceOfARowIsThatSlice(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    for record in try Self.records() {
      for _ in 0..<40 {
        let first = random.below(record.columns)
        let count = 1 + random.below(record.columns - first)
        var out = [Float](repeating: 7, count: count + 2)
        record.blocks.withUnsafeBufferPointer { blocks in
          out.withUnsafeMutableBufferPointer {
            pf_read(
              Int32(record.storage.rawValue), blocks.baseAddress!, first, count,
              $0.baseAddress! + 1)
          }
        }
        #expect(out.first == 7 && out.last == 7)
        #expect(Array(out[1...count]) == Array(record.floats[first..<(first + count)]))
      }
    }
  }

  @Test func everyHalfIsExact() {
    let codes = (0...UInt16.max).map(\.self)
    let out = read(.f16, codes.flatMap { bytes($0) }, codes.count)
    for code in codes {
      let expected = Float(Float16(bitPattern: code))
      let got = out[Int(code)]
      #expect(got.bitPattern == expected.bitPattern || (got.isNaN && expected.isNaN))
    }
  }

  @Test func everyBrainFloatIsExact() {
    let codes = (0...UInt16.max).map(\.self)
    let out = read(.bf16, codes.flatMap { bytes($0) }, codes.count)
    for code in codes { #expect(out[Int(code)].bitPattern == UInt32(code) << 16) }
  }

  // Sign, 4 bits of exponent with bias 7, 3 of fraction; subnormals below 2^-6; one NaN a sign.
  @Test func everyE4M3CodeIsExact() {
    let out = read(.e4m3, Array(0...255), 256)
    for code in 0..<256 {
      let (exponent, fraction) = (code >> 3 & 15, Float(code & 7))
      var expected =
        exponent == 0
        ? Float(sign: .plus, exponent: -9, significand: fraction)
        : Float(sign: .plus, exponent: exponent - 10, significand: 8 + fraction)
      if code & 128 != 0 { expected = -expected }
      if code & 127 == 127 {
        #expect(out[code].isNaN)
      } else {
        #expect(out[code].bitPattern == expected.bitPattern, "code \(code)")
      }
    }
  }

  private func read(_ storage: Storage, _ source: [UInt8], _ count: Int) -> [Float] {
    [Float](unsafeUninitializedCapacity: count) {
      pf_read(Int32(storage.rawValue), source, 0, count, $0.baseAddress!)
      $1 = count
    }
  }
}
