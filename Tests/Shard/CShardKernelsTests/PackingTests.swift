import CShardKernels
import Testing

extension KernelTests {
  @Suite struct PackingTests {
    // Embeddings are read back from packed heads: FP32 must come back exactly, BF16 rounded to nearest,
    // FP8 within a sixteenth, whatever the shape.
    @Test(arguments: [(1, 1), (16, 128), (17, 129), (130, 63), (144, 300)])
    func rowsComeBack(rows: Int, columns: Int) {
      var noise = Noise(rows + columns)
      let floats = noise.row(rows * columns)
      for type in [PK_FP32, PK_BF16, PK_FP8] {
        atEveryLevel { _ in
          let w = Packed(type, rows: rows, columns: columns, floats: floats)
          #expect(w.isWithinBounds)
          for row in 0..<rows {
            let back = w.row(row)
            for column in 0..<columns {
              let number = floats[row * columns + column]
              switch type {
              case PK_FP32: #expect(back[column] == number)
              case PK_BF16: #expect(back[column] == rounded(number))
              default: #expect(abs(back[column] - number) <= abs(number) / 16 + 0x1p-14)
              }
            }
          }
        }
      }
    }

    // bf16 weights take no detour: their bits are kept, those of NaN and of subnormals too.
    @Test func halvesKeepTheirBits() {
      let halves: [UInt16] = (0..<20 * 66).map { UInt16(truncatingIfNeeded: $0 &* 40_503) }
      for type in [PK_FP32, PK_BF16] {
        let w = Packed(type, rows: 20, columns: 66)
        w.packHalves(halves)
        for row in 0..<20 {
          #expect(
            bits(w.row(row)) == halves[row * 66..<(row + 1) * 66].map { UInt32($0) << 16 })
        }
      }
    }

    // One scale for 16 rows by 128 columns, their greatest magnitude being 448.
    @Test func quantisationScalesPanels() {
      let rows = 200
      let columns = 260
      var floats = [Float](repeating: 0.25, count: rows * columns)
      floats[5 * columns + 7] = -8  // panel 0, block 0
      floats[150 * columns + 130] = 3  // panel 9, block 1
      for row in 0..<128 { for column in 256..<260 { floats[row * columns + column] = 0 } }
      let w = Packed(PK_FP8, rows: rows, columns: columns, floats: floats)
      func scale(_ panel: Int, _ block: Int) -> Float { w.matrix.scales[panel * 3 + block] }
      for panel in 0..<13 {
        #expect(scale(panel, 0) == Float(panel == 0 ? 8 : 0.25) / 448)
        #expect(scale(panel, 1) == Float(panel == 9 ? 3 : 0.25) / 448)
        #expect(scale(panel, 2) == (panel < 8 ? 1 : Float(0.25) / 448), "zeros have scale 1")
      }
      #expect(w.row(5)[7] == -8)
      #expect(w.row(150)[130] == 3)
      #expect(w.row(3)[258] == 0)
    }

    // The nearest code, and the even one of two: every code and every middle between two.
    @Test func quantisationRoundsToNearestEven() {
      let codes = (0..<256).map { UInt8($0) }.filter { $0 & 0x7f != 0x7f }
      var values = [Float](repeating: 0, count: codes.count)
      pk_from_e4m3(codes, codes.count, &values)
      let positive = Array(values[..<127])
      var numbers: [Float] = []
      var expected: [UInt8] = []
      for code in 0..<126 {
        let middle = (positive[code] + positive[code + 1]) / 2
        numbers += [positive[code], middle.nextDown, middle, middle.nextUp]
        expected += [
          UInt8(code), UInt8(code), UInt8(code % 2 == 0 ? code : code + 1), UInt8(code + 1),
        ]
      }
      numbers.append(448)
      expected.append(126)
      // 448 is the greatest, so that the scale is 1 and what is packed are the numbers themselves.
      atEveryLevel { _ in
        for sign: Float in [1, -1] {
          let row = numbers.map { $0 * sign }
          for start in stride(from: 0, to: row.count, by: 100) {
            var part = Array(row[start..<min(start + 100, row.count)])
            part.append(448)
            let w = Packed(PK_FP8, rows: 1, columns: part.count, floats: part)
            for (index, value) in w.row(0).dropLast().enumerated() {
              #expect(
                value.bitPattern == (positive[Int(expected[start + index])] * sign).bitPattern)
            }
          }
        }
      }
    }

    // A NaN or an infinity in weights shows in every output of its block, rather than as a number.
    @Test(arguments: [Float.nan, .infinity, -.infinity])
    func quantisationDoesNotHideWhatIsNotANumber(poison: Float) {
      var floats = [Float](repeating: 1, count: 16 * 128)
      floats[77] = poison
      atEveryLevel { _ in
        let w = Packed(PK_FP8, rows: 16, columns: 128, floats: floats)
        #expect(w.times([Float](repeating: 1, count: 128), 1).allSatisfy { !$0.isFinite })
      }
    }

    // A checkpoint's own codes are multiplied as they are, and its two codes for NaN would count as
    // 480: whoever packs is told.
    @Test func codesForNaNAreReported() {
      let w = Packed(PK_FP8, rows: 20, columns: 130)
      var codes = (0..<20 * 130).map { UInt8($0 % 127) }
      #expect(w.packBytes(codes, scales: [1, 1, 1, 1]))
      for code: UInt8 in [0x7f, 0xff] {
        codes[19 * 130 + 129] = code
        #expect(!w.packBytes(codes, scales: []))
        #expect(w.row(19)[129].isNaN)
      }
    }

    // What is asked of the system for a matrix is what the layout says.
    @Test func bytes() {
      func bytes(_ type: Int, _ rows: Int, _ columns: Int, _ first: Int = 128) -> Int {
        pk_matrix_bytes(Int32(type), Int32(rows), Int32(columns), Int32(first))
      }
      #expect(bytes(PK_FP32, 17, 5) == 2 * 5 * 64)
      #expect(bytes(PK_BF16, 17, 5) == 2 * 3 * 64)
      #expect(bytes(PK_FP8, 17, 5) == 2 * 2 * 64 + 2 * 4)
      #expect(bytes(PK_FP8, 16, 258) == (32 + 32 + 1) * 64 + 3 * 4)
      #expect(bytes(PK_FP8, 16, 258, 2) == (1 + 32 + 32) * 64 + 3 * 4)
      // Too much to count in 64 bits is too much to have.
      #expect(pk_matrix_bytes(Int32(PK_FP32), .max, .max, 128) == 1 << 60)
    }

    private func rounded(_ number: Float) -> Float {
      let bits = number.bitPattern
      return Float(bitPattern: (bits &+ 0x7fff &+ (bits >> 16 & 1)) & 0xffff_0000)
    }
  }
}
