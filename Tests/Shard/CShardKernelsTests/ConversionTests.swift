import CShardKernels
import Testing

extension KernelTests {
  @Suite struct ConversionTests {
    // All 256 codes by the format's definition: 4 bits of exponent with a bias of 7, 3 of mantissa, no
    // infinity, one NaN of each sign.
    @Test func e4m3() {
      let codes = (0...255).map { UInt8($0) }
      atEveryLevel { _ in
        var out = [Float](repeating: 0, count: 256)
        pk_from_e4m3(codes, 256, &out)
        for code in 0..<256 {
          let exponent = code >> 3 & 15
          let mantissa = Float(code & 7)
          let magnitude =
            exponent == 0
            ? mantissa / 8 * 0x1p-6
            : (1 + mantissa / 8) * Float(sign: .plus, exponent: exponent - 7, significand: 1)
          if code & 0x7f == 0x7f {
            #expect(out[code].isNaN)
          } else {
            #expect(out[code].bitPattern == (code < 128 ? magnitude : -magnitude).bitPattern)
          }
        }
        #expect(out[0x7e] == 448)
      }
    }

    // Every half of every kind, subnormals included.
    @Test func fp16() {
      let halves = (0...65_535).map { UInt16($0) }
      atEveryLevel { _ in
        var out = [Float](repeating: 0, count: halves.count)
        pk_from_fp16(halves, halves.count, &out)
        var wrong = 0
        for half in halves {
          let sign: Float = half < 0x8000 ? 1 : -1
          let exponent = Int(half >> 10 & 31)
          let mantissa = Float(half & 1_023) / 1_024
          let value = out[Int(half)]
          switch exponent {
          case 31:
            let isRight = mantissa == 0 ? value == sign * .infinity : value.isNaN
            wrong += isRight ? 0 : 1
          case 0: wrong += value.bitPattern == (sign * mantissa * 0x1p-14).bitPattern ? 0 : 1
          default:
            let scale = Float(sign: .plus, exponent: exponent - 15, significand: 1)
            wrong += value == sign * (1 + mantissa) * scale ? 0 : 1
          }
        }
        #expect(wrong == 0)
      }
    }

    // To nearest, ties to even, overflow to infinity, NaN stays NaN even where its payload is lost.
    @Test func bf16() {
      let cases: [(UInt32, UInt16)] = [
        (0x3f80_0000, 0x3f80), (0x3f80_8000, 0x3f80), (0x3f81_8000, 0x3f82),
        (0x3f80_8001, 0x3f81), (0x3f80_7fff, 0x3f80), (0x8000_0000, 0x8000),
        (0x7f7f_ffff, 0x7f80), (0xff80_0000, 0xff80), (0x0000_8001, 0x0001),
        (0x7f80_0001, 0x7fc0), (0xffff_ffff, 0xffff), (0x7fff_8000, 0x7fff),
      ]
      for copies in [1, 3] {
        let all = Array(repeating: cases, count: copies).flatMap { $0 }
        let numbers = all.map { Float(bitPattern: $0.0) }
        atEveryLevel { _ in
          var out = [UInt16](repeating: 0, count: all.count)
          pk_to_bf16(numbers, all.count, &out)
          #expect(out == all.map(\.1))
        }
      }
      let halves = (0...65_535).map { UInt16($0) }
      atEveryLevel { _ in
        var floats = [Float](repeating: 0, count: halves.count)
        pk_from_bf16(halves, halves.count, &floats)
        #expect(bits(floats) == halves.map { UInt32($0) << 16 })
      }
    }

    // A level that the machine does not have is never used.
    @Test func levels() {
      #expect(pk_use_level(99) == pk_best_level())
      #expect(pk_use_level(-1) == Int32(PK_PORTABLE))
      #expect(pk_level() == Int32(PK_PORTABLE))
      pk_use_level(pk_best_level())
      let names = (-1...4).map { String(cString: pk_level_name($0)) }
      #expect(
        names == ["unknown", "portable", "AVX2", "AVX-512", "AVX-512-BF16", "unknown"])
    }
  }
}
