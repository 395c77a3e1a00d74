import CShardKernels
import Testing

extension KernelTests {
  @Suite struct LinearTests {
    // A kernel that forgets a column, a row of the last panel, or a segment's scale is off by far more
    // than the rounding of a sum of that length.
    @Test(arguments: [PK_FP32, PK_BF16, PK_FP8])
    func agreesWithDoublePrecision(type: Int) {
      let rows = [1, 15, 16, 17, 80, 130]
      let columns = [1, 3, 63, 127, 128, 129, 131, 255, 257, 320]
      for (index, columns) in columns.enumerated() {
        for m in [1, 2, 3, 4, 5, 6, 7, 13] {
          let rows = rows[(index + m) % rows.count]
          var noise = Noise(rows * 1_000 + columns)
          let w = Packed(type, rows: rows, columns: columns, floats: noise.row(rows * columns))
          let x = noise.row(m * columns)
          let (values, magnitudes) = w.oracle(x, m)
          atEveryLevel { level in
            let tolerance = isExact(level, type) ? 1e-6 : 8e-3
            let y = w.times(x, m)
            let worst = (0..<y.count).map {
              abs(Double(y[$0]) - values[$0]) / (magnitudes[$0] + 1e-30)
            }.max()!
            #expect(worst < tolerance, "\(rows)x\(columns), m \(m), level \(level)")
          }
        }
      }
    }

    // A row's result must not depend on its neighbours, their number, or the instructions in use:
    // greedy texts would change with the batch.
    @Test(arguments: [PK_FP32, PK_BF16, PK_FP8])
    func aRowIsTheSameInAnyCompany(type: Int) {
      for (rows, columns) in [(48, 576), (35, 200), (208, 130)] {
        var noise = Noise(rows)
        let w = Packed(type, rows: rows, columns: columns, floats: noise.row(rows * columns))
        let most = 110
        let x = noise.row(most * columns)
        pk_use_level(Int32(PK_PORTABLE))
        let portable = w.times(x, 1)
        atEveryLevel { level in
          let single = (0..<most).map {
            w.times(Array(x[$0 * columns..<($0 + 1) * columns]), 1)
          }
          if isExact(level, type) { #expect(bits(single[0]) == bits(portable)) }
          for m in level == 0
            ? [2, 7, 13] : [2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 19, 96, 97, 110]
          {
            let y = w.times(x, m)
            for r in 0..<m {
              #expect(
                bits(y[r * rows..<(r + 1) * rows]) == bits(single[r]),
                "row \(r) of \(m), \(rows)x\(columns), level \(level)")
            }
          }
        }
      }
    }

    // Threads take panels as they come: the parts must be what the whole is, and nothing else may be
    // written, the rows behind the last panel least of all.
    @Test(arguments: [PK_FP32, PK_BF16, PK_FP8])
    func slicesOfPanelsAreTheWhole(type: Int) {
      let rows = 150
      let columns = 260
      var noise = Noise(7)
      let w = Packed(type, rows: rows, columns: columns, floats: noise.row(rows * columns))
      for m in [1, 2, 5, 14] {
        let x = noise.row(m * columns)
        atEveryLevel { _ in
          let whole = w.times(x, m)
          for cut in 0...w.panels {
            let untouched = w.times(x, m, panels: 0..<cut)
            for r in 0..<m {
              for row in 0..<rows {
                let value = untouched[r * rows + row]
                if row < cut * 16 {
                  #expect(value.bitPattern == whole[r * rows + row].bitPattern)
                } else {
                  #expect(value.isNaN)
                }
              }
            }
          }
          #expect(w.times(x, m, panels: 3..<3).allSatisfy { $0.isNaN })
        }
      }
    }

    // Residual streams are added to, and biases belong to rows.
    @Test(arguments: [PK_FP32, PK_BF16, PK_FP8])
    func addsToWhatIsThereAndToTheBias(type: Int) {
      let rows = 37
      let columns = 140
      var noise = Noise(11)
      let w = Packed(type, rows: rows, columns: columns, floats: noise.row(rows * columns))
      let bias = noise.row(rows)
      for m in [1, 4, 9] {
        let x = noise.row(m * columns)
        let before = noise.row(m * rows)
        atEveryLevel { level in
          let plain = w.times(x, m)
          let both = w.times(x, m, y: before, bias: bias)
          let biased = w.times(x, m, bias: bias)
          for i in 0..<m * rows {
            #expect(abs(both[i] - (plain[i] + before[i] + bias[i % rows])) < 2e-5)
            #expect(abs(biased[i] - (plain[i] + bias[i % rows])) < 2e-5)
          }
        }
      }
    }

    // Biases and gated outputs are indexed by row, wherever a thread's panels begin.
    @Test(arguments: [PK_FP32, PK_BF16, PK_FP8])
    func slicesMeetTheirOwnBiases(type: Int) {
      let rows = 150
      let columns = 70
      var noise = Noise(13)
      let w = Packed(type, rows: rows, columns: columns, floats: noise.row(rows * columns))
      let up = Packed(type, rows: rows, columns: columns, floats: noise.row(rows * columns))
      let bias = noise.row(rows)
      for m in [1, 7] {
        let x = noise.row(m * columns)
        atEveryLevel { _ in
          let whole = w.times(x, m, bias: bias)
          var gated = [Float](repeating: .nan, count: m * rows)
          var pieces = gated
          bias.withUnsafeBufferPointer { bias in
            func run(_ panels: Range<Int>, _ out: inout [Float]) {
              var gateMatrix = w.matrix
              var upMatrix = up.matrix
              pk_gated(
                &gateMatrix, &upMatrix, Int32(panels.lowerBound), Int32(panels.upperBound), x,
                columns, Int32(m), &out, rows, bias.baseAddress, bias.baseAddress)
            }
            run(0..<w.panels, &gated)
            for panel in stride(from: 0, to: w.panels, by: 3) {
              let part = panel..<min(panel + 3, w.panels)
              run(part, &pieces)
              let linear = w.times(x, m, bias: Array(bias), panels: part)
              for r in 0..<m {
                for row in part.lowerBound * 16..<min(part.upperBound * 16, rows) {
                  #expect(linear[r * rows + row].bitPattern == whole[r * rows + row].bitPattern)
                }
              }
            }
          }
          #expect(bits(pieces) == bits(gated))
        }
      }
    }

    // A rank's slice may begin inside a scale block: its first block is then shorter, and every column
    // must still meet its own scale.
    @Test(arguments: [1, 4, 32, 36, 64, 100, 127, 128])
    func firstScaleBlockMayBeShorter(firstBlock: Int) {
      let rows = 144
      let columns = 300
      var noise = Noise(firstBlock)
      let codes = (0..<rows * columns).map { _ in
        UInt8(noise.next().magnitude * 126) | (noise.next() < 0 ? 0x80 : 0)
      }
      let w = Packed(PK_FP8, rows: rows, columns: columns, firstBlock: firstBlock)
      let blocks = 1 + (columns - firstBlock + 127) / 128
      #expect(Int(w.matrix.scale_blocks) == blocks)
      let scales = (0..<w.panels * blocks).map { 0.01 * Float($0 + 1) }
      w.packBytes(codes, scales: scales)
      #expect(w.isWithinBounds)
      var floats = [Float](repeating: 0, count: codes.count)
      pk_from_e4m3(codes, codes.count, &floats)
      for row in [0, 17, 143] {
        let expected = (0..<columns).map { column in
          let block = column < firstBlock ? 0 : 1 + (column - firstBlock) / 128
          return floats[row * columns + column] * scales[row / 16 * blocks + block]
        }
        #expect(bits(w.row(row)) == bits(expected))
      }
      for m in [1, 3, 14] {
        let x = noise.row(m * columns)
        let (values, magnitudes) = w.oracle(x, m)
        atEveryLevel { _ in
          let y = w.times(x, m)
          for i in 0..<y.count {
            #expect(abs(Double(y[i]) - values[i]) <= 1e-6 * magnitudes[i])
          }
        }
      }
    }

    // silu(gate x) * up x is what two linear layers and a few words say, bit for bit the same for one
    // row and for many.
    @Test(arguments: [PK_FP32, PK_BF16, PK_FP8])
    func gatedIsSiluTimesUp(type: Int) {
      let columns = 150
      for rows in [16, 88, 300] {
        var noise = Noise(rows)
        let gate = Packed(type, rows: rows, columns: columns, floats: noise.row(rows * columns))
        let up = Packed(type, rows: rows, columns: columns, floats: noise.row(rows * columns))
        let bias = noise.row(rows)
        let most = 100
        let x = noise.row(most * columns)
        func gated(_ x: [Float], _ m: Int) -> [Float] {
          var out = [Float](repeating: .nan, count: m * rows)
          var gateMatrix = gate.matrix
          var upMatrix = up.matrix
          bias.withUnsafeBufferPointer {
            pk_gated(
              &gateMatrix, &upMatrix, 0, Int32(gate.panels), x, columns, Int32(m), &out, rows,
              $0.baseAddress, nil)
          }
          return out
        }
        pk_use_level(Int32(PK_PORTABLE))
        let portable = gated(x, 2)
        atEveryLevel { level in
          let m = level == 0 ? 9 : most
          let all = gated(x, m)
          if isExact(level, type) { #expect(bits(all[..<(2 * rows)]) == bits(portable)) }
          let gates = gate.times(x, m, bias: bias)
          let ups = up.times(x, m)
          for i in 0..<m * rows {
            let g = Double(gates[i])
            let expected = g / (1 + exponential(-g)) * Double(ups[i])
            #expect(abs(Double(all[i]) - expected) <= 1e-6 * abs(expected) + 1e-9)
          }
          for r in [0, 1, m - 1] {
            let one = gated(Array(x[r * columns..<(r + 1) * columns]), 1)
            #expect(bits(one) == bits(all[r * rows..<(r + 1) * rows]))
          }
        }
      }
    }

    // Activations of a real model reach from 1e-9 to 1e4: FP8's trick with powers of two must neither
    // overflow nor lose the small ones.
    @Test(arguments: [Float(1e-20), 1e-9, 1e-3, 1, 1e4, 1e15])
    func scaleOfActivationsDoesNotMatter(scale: Float) {
      let columns = 256
      var noise = Noise(3)
      let w = Packed(PK_FP8, rows: 32, columns: columns, floats: noise.row(32 * columns))
      let x = noise.row(columns, scale: scale)
      let (values, magnitudes) = w.oracle(x, 1)
      atEveryLevel { _ in
        let y = w.times(x, 1)
        for i in 0..<32 { #expect(abs(Double(y[i]) - values[i]) <= 1e-6 * magnitudes[i]) }
      }
    }

    // A NaN or infinity must be seen in the logits, not vanish in padding, and not spread to rows of
    // x beside it.
    @Test(arguments: [PK_FP32, PK_BF16, PK_FP8])
    func nanStaysInItsRow(type: Int) {
      let columns = 67
      var noise = Noise(5)
      let w = Packed(type, rows: 20, columns: columns, floats: noise.row(20 * columns))
      for m in [2, 8, 20] {
        var x = noise.row(m * columns)
        x[columns + 66] = .nan
        atEveryLevel { _ in
          let y = w.times(x, m)
          for r in 0..<m {
            #expect(y[r * 20..<(r + 1) * 20].allSatisfy { $0.isNaN == (r == 1) })
          }
          // Nor may it come back from the stack of an earlier call into padding.
          let wide = Packed(type, rows: 16, columns: 128)
          _ = wide.times([Float](repeating: .nan, count: m * 128), m)
          let clean = w.times([Float](repeating: 1, count: m * columns), m)
          #expect(clean.allSatisfy { $0.isFinite })
        }
      }
    }

    // Nothing to do is nothing done.
    @Test func sizesOfZero() {
      let none = Packed(PK_BF16, rows: 0, columns: 64)
      #expect(none.times([Float](repeating: 1, count: 64), 1).isEmpty)
      for type in [PK_FP32, PK_BF16, PK_FP8] {
        let empty = Packed(type, rows: 16, columns: 0)
        atEveryLevel { _ in
          #expect(empty.times([], 1) == [Float](repeating: 0, count: 16))
          #expect(empty.times([], 0).isEmpty)
        }
      }
      #expect(pk_matrix_bytes(Int32(PK_FP8), 0, 0, 128) == 0)
    }
  }
}
