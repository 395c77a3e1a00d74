import CShardKernels
import Testing

/// Sizes around the widths that kernels work in.
private let sizes = [1, 2, 7, 8, 9, 31, 32, 33, 64, 100, 576]

extension KernelTests {
  @Suite struct VectorTests {
    // The norm divides by what it measured: an element left out shows at once.
    @Test func norms() {
      for size in sizes {
        var noise = Noise(size)
        let x = noise.row(size, scale: 3).map { $0 + 0.5 }
        let weight = noise.row(size)
        let bias = noise.row(size)
        let square = x.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(size)
        let mean = x.reduce(0.0) { $0 + Double($1) } / Double(size)
        let variance =
          x.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(size)
        var first: ([UInt32], [UInt32]) = ([], [])
        atEveryLevel { level in
          var rms = [Float](repeating: .nan, count: size)
          var layer = rms
          pk_rms_norm(x, weight, Int32(size), 1e-5, &rms)
          pk_layer_norm(x, weight, bias, Int32(size), 1e-5, &layer)
          if level == 0 { first = (bits(rms), bits(layer)) }
          #expect(bits(rms) == first.0)
          #expect(bits(layer) == first.1)
          for i in 0..<size {
            let expected = Double(x[i]) / (square + 1e-5).squareRoot() * Double(weight[i])
            #expect(abs(Double(rms[i]) - expected) < 1e-6)
            let centred =
              (Double(x[i]) - mean) / (variance + 1e-5).squareRoot() * Double(weight[i])
              + Double(bias[i])
            #expect(abs(Double(layer[i]) - centred) < 5e-6, "size \(size)")
          }
        }
      }
    }

    // In place is how norms of heads are used.
    @Test func normsInPlace() {
      var noise = Noise(1)
      let x = noise.row(70)
      let weight = noise.row(70)
      atEveryLevel { _ in
        var apart = [Float](repeating: 0, count: 70)
        pk_rms_norm(x, weight, 70, 1e-6, &apart)
        var inPlace = x
        inPlace.withUnsafeMutableBufferPointer {
          pk_rms_norm($0.baseAddress, weight, 70, 1e-6, $0.baseAddress)
        }
        #expect(bits(inPlace) == bits(apart))
      }
    }

    // Pairs lie half a head apart, or side by side: the wrong one of the two is fluent nonsense.
    @Test(arguments: [1, 4, 8, 20, 32], [false, true])
    func rope(half: Int, isInterleaved: Bool) {
      var noise = Noise(half)
      let x = noise.row(half * 2 + 3)
      let cosines = noise.row(half)
      let sines = noise.row(half)
      atEveryLevel { _ in
        var turned = x
        pk_rope(&turned, cosines, sines, Int32(half), isInterleaved ? 1 : 0)
        for i in 0..<half {
          let (a, b) = isInterleaved ? (2 * i, 2 * i + 1) : (i, i + half)
          #expect(abs(turned[a] - (x[a] * cosines[i] - x[b] * sines[i])) < 1e-6)
          #expect(abs(turned[b] - (x[b] * cosines[i] + x[a] * sines[i])) < 1e-6)
        }
        #expect(turned[(2 * half)...] == x[(2 * half)...])
      }
    }

    @Test func additions() {
      for size in sizes {
        var noise = Noise(size)
        let x = noise.row(size)
        let y = noise.row(size)
        atEveryLevel { _ in
          var sum = y
          pk_add(&sum, x, size)
          #expect(sum == zip(x, y).map { $0 + $1 })
          var scaled = y
          pk_add_scaled(&scaled, x, 0.3, size)
          #expect(bits(scaled) == bits(zip(x, y).map { $1.addingProduct(0.3, $0) }))
        }
      }
    }

    // By erf, not by its tanh imitation, which differs in the fourth digit.
    @Test func gelu() {
      let x = stride(from: Float(-12), through: 12, by: 0.013).map { $0 }
      var first: [UInt32] = []
      atEveryLevel { level in
        var out = x
        pk_gelu(&out, out.count)
        if level == 0 { first = bits(out) }
        #expect(bits(out) == first)
        for i in 0..<x.count {
          let expected = 0.5 * Double(x[i]) * (1 + errorFunction(Double(x[i]) / 2.0.squareRoot()))
          #expect(abs(Double(out[i]) - expected) <= 2e-7 * max(1, abs(Double(x[i]))))
        }
      }
    }

    // Probabilities add up, masked tokens get nothing at all, and e^x keeps seven digits down to the
    // smallest normal float.
    @Test func softmax() {
      for size in sizes + [1_000] {
        var noise = Noise(size)
        var x = noise.row(size, scale: 40)
        if size > 2 { x[1] = -.infinity }
        let most = Double(x.max()!)
        // As floats: what is left of a difference of 80 after its rounding is not the kernel's.
        let weights = x.map { exponential(Double($0 - Float(most))) }
        let sum = weights.reduce(0, +)
        var first: [UInt32] = []
        atEveryLevel { level in
          var out = x
          pk_softmax(&out, size)
          if level == 0 { first = bits(out) }
          #expect(bits(out) == first)
          for i in 0..<size {
            let expected = weights[i] / sum
            #expect(abs(Double(out[i]) - expected) <= 6e-7 * expected + 1e-37)
          }
          if size > 2 { #expect(out[1] == 0) }
          var max: Float = 0
          var lse: Float = 0
          pk_log_sum_exp(x, size, &max, &lse)
          #expect(Double(max) == most)
          #expect(abs(Double(lse) - (most + logarithm(sum))) < 1e-5)
        }
      }
    }

    // Nothing, only masked tokens, and NaN: no number is made up.
    @Test func softmaxAtTheEdges() {
      atEveryLevel { _ in
        var none: [Float] = []
        pk_softmax(&none, 0)
        var poisoned: [Float] = [1, .nan, 2]
        pk_softmax(&poisoned, 3)
        #expect(poisoned.allSatisfy { $0.isNaN })
        var max: Float = 0
        var lse: Float = 0
        pk_log_sum_exp(none, 0, &max, &lse)
        #expect(max == -.infinity && lse == -.infinity)
        pk_log_sum_exp([-.infinity, -.infinity], 2, &max, &lse)
        #expect(max == -.infinity && lse == -.infinity)
        pk_log_sum_exp([3], 1, &max, &lse)
        #expect(max == 3 && lse == 3)
      }
    }

    // Ties go to the lowest index wherever they lie, and what is not a number is reported.
    @Test func argmax() {
      for size in sizes {
        for place in Set([0, size / 2, size - 1]) {
          var x = [Float](repeating: -2, count: size)
          for later in place..<size { x[later] = 5 }
          atEveryLevel { _ in
            var isFinite: Int32 = 1
            #expect(pk_argmax(x, size, &isFinite) == place)
            #expect(isFinite == 1)
            for (poison, isSound): (Float, Bool) in [
              (.nan, false), (.infinity, false), (-.infinity, true),
            ] {
              var poisoned = x
              poisoned[size - 1] = poison
              isFinite = 1
              let index = pk_argmax(poisoned, size, &isFinite)
              #expect(isFinite == (isSound ? 1 : 0))
              #expect(index < size)
            }
          }
        }
      }
      atEveryLevel { _ in
        var isFinite: Int32 = 1
        #expect(pk_argmax([], 0, &isFinite) == 0)
        #expect(pk_argmax([-.infinity, -.infinity], 2, &isFinite) == 0)
        #expect(pk_argmax([-0.0, 0], 2, &isFinite) == 0)
        #expect(isFinite == 1)
      }
    }

    @Test func allFinite() {
      for size in sizes {
        for place in 0..<size {
          var x = [Float](repeating: 1, count: size)
          atEveryLevel { _ in
            x[place] = .greatestFiniteMagnitude
            #expect(pk_all_finite(x, size) == 1)
            for poison in [Float.nan, .infinity, -.infinity, .signalingNaN] {
              x[place] = poison
              #expect(pk_all_finite(x, size) == 0)
            }
          }
        }
      }
      #expect(pk_all_finite([], 0) == 1)
    }
  }
}
