import Generation
import Primitives
import Testing

@testable import Sampling

/// A row of logits, and what is drawn from it.
private struct Bench {
  var sampler: Sampler
  let logits: [Float]

  init(_ logits: [Float], known: Int? = nil) {
    self.logits = logits
    sampler = Sampler(vocabulary: logits.count, known: known ?? logits.count)
  }

  mutating func draw(
    _ change: (inout SamplingParameters) -> Void = { _ in }, prompt: [Int32] = [],
    output: [Int32] = [], masked: [Int32] = []
  ) -> Sampler.Drawn? {
    var parameters = SamplingParameters()
    change(&parameters)
    var row = logits
    return row.withUnsafeMutableBufferPointer { row in
      prompt.withUnsafeBufferPointer { prompt in
        output.withUnsafeBufferPointer { output in
          sampler.draw(
            row.baseAddress!, parameters,
            Sampler.Context(prompt: prompt, output: output, masked: masked))
        }
      }
    }
  }

  /// How often each token came, over that many places of an output.
  mutating func counts(
    _ draws: Int, _ change: (inout SamplingParameters) -> Void = { _ in }
  ) -> [Int] {
    var counts = [Int](repeating: 0, count: logits.count)
    for seed in 0..<draws {
      let drawn = draw {
        change(&$0)
        $0.seed = UInt64(seed)
      }
      if let drawn { counts[Int(drawn.token)] += 1 }
    }
    return counts
  }
}

@Suite struct SamplerTests {
  // A greedy text must be the same everywhere: ties go to the lowest id, and ids that the tokenizer
  // does not have are never drawn, whatever the padded table says.
  @Test func greedyTakesTheLowestOfTheLikeliest() {
    var bench = Bench([1, 7, 7, 3, 99], known: 4)
    #expect(bench.draw { $0.temperature = 0 }?.token == 1)
    #expect(bench.draw({ $0.temperature = 0 }, masked: [1])?.token == 2)
    #expect(bench.draw({ $0.temperature = 0 }, masked: [1, 2])?.token == 3)
  }

  // Broken weights make NaN: that must be said, not drawn from.
  @Test(arguments: [Float.nan, Float.infinity])
  func logitsThatAreNoNumbersAreReported(value: Float) {
    var bench = Bench([1, value, 2])
    #expect(bench.draw() == nil)
  }

  // The draw must follow the softmax: a chi-square over 20,000 draws, with seven degrees of freedom.
  // 29.9 is passed by chance once in ten thousand; the seeds are fixed, so it never is.
  @Test(arguments: [Float(0.7), 1, 1.6]) func drawsFollowTheSoftmax(temperature: Float) {
    let logits: [Float] = [0.3, -1, 2, 0, 1.1, -0.4, 0.9, 1.5]
    var bench = Bench(logits)
    let draws = 20_000
    let counts = bench.counts(draws) { $0.temperature = temperature }
    let weights = logits.map { exponential(Double($0 / temperature)) }
    let total = weights.reduce(0, +)
    var statistic = 0.0
    for (count, weight) in zip(counts, weights) {
      let expected = Double(draws) * weight / total
      statistic += (Double(count) - expected) * (Double(count) - expected) / expected
    }
    #expect(statistic < 29.9)
  }

  // Same seed, same place: same token. Another place: another number.
  @Test func theDrawIsAFunctionOfSeedAndPlace() {
    #expect(Sampler.uniform(seed: 7, index: 3) == Sampler.uniform(seed: 7, index: 3))
    var seen = Set<Double>()
    for seed in UInt64(0)..<50 {
      for index in 0..<50 { seen.insert(Sampler.uniform(seed: seed, index: index)) }
    }
    #expect(seen.count == 2_500)
    #expect(seen.allSatisfy { $0 >= 0 && $0 < 1 })
  }

  // Weights 8:4:2:1:1 by halves. top_k keeps the first k; top_p the fewest that reach p; min_p those
  // within a share of the best.
  @Test func cutsKeepWhatTheySay() {
    let logits = [8.0, 4, 2, 1, 1].map { Float(logarithm($0)) }
    var bench = Bench(logits)
    func tokens(_ change: (inout SamplingParameters) -> Void) -> [Int] {
      bench.counts(600, change).enumerated().filter { $0.element > 0 }.map(\.offset)
    }
    #expect(tokens { _ in } == [0, 1, 2, 3, 4])
    #expect(tokens { $0.topK = 2 } == [0, 1])
    #expect(tokens { $0.topP = 0.49 } == [0])
    #expect(tokens { $0.topP = 0.6 } == [0, 1])
    #expect(tokens { $0.topP = 0.8 } == [0, 1, 2])
    #expect(tokens { $0.minP = 0.2 } == [0, 1, 2])
    #expect(tokens { $0.minP = 0.3 } == [0, 1])
    // top_p of what top_k left: 8 of 12 is more than 0.6.
    #expect(
      tokens {
        $0.topK = 2
        $0.topP = 0.6
      } == [0])
  }

  // Cuts must be found also where they lie deep in a flat distribution of a real vocabulary.
  @Test func cutsReachDeepIntoAFlatDistribution() {
    var random = SeededRandom(seed: 5)
    let logits = (0..<5_000).map { _ in Float(random.unit()) * 20 }
    for share in [Float(0.5), 0.9, 0.999] {
      var bench = Bench(logits)
      let weights = logits.map { exponential(Double($0)) }
      let order = weights.indices.sorted { weights[$0] > weights[$1] }
      let total = weights.reduce(0, +)
      var allowed = Set<Int>()
      var sum = 0.0
      for index in order where sum < Double(share) * total * 1.000_01 {
        allowed.insert(index)
        sum += weights[index]
      }
      let counts = bench.counts(200) { $0.topP = share }
      #expect(counts.indices.allSatisfy { counts[$0] == 0 || allowed.contains($0) })
    }
  }

  // vLLM's rules: repetition over prompt and output, once a token; presence and frequency over the
  // output only.
  @Test func penaltiesLookAtTheRightTokens() {
    var bench = Bench([2, 1.5, -1, 0])
    #expect(
      bench.draw(
        {
          $0.temperature = 0
          $0.repetitionPenalty = 2
        }, prompt: [0, 0])?.token == 1)
    #expect(
      bench.draw(
        {
          $0.temperature = 0
          $0.presencePenalty = 1
        }, prompt: [0], output: [])?.token == 0)
    #expect(
      bench.draw(
        {
          $0.temperature = 0
          $0.presencePenalty = 1
        }, output: [0])?.token == 1)
    #expect(
      bench.draw(
        {
          $0.temperature = 0
          $0.frequencyPenalty = 0.2
        }, output: [0, 0])?.token == 0)
    #expect(
      bench.draw(
        {
          $0.temperature = 0
          $0.frequencyPenalty = 0.3
        }, output: [0, 0])?.token == 1)
    // The scratch counts are clean again.
    #expect(bench.draw { $0.temperature = 0 }?.token == 0)
  }

  @Test func biasMovesTokensAndUnknownOnesAreIgnored() {
    var bench = Bench([2, 1.5, -1, 0])
    let drawn = bench.draw {
      $0.temperature = 0
      $0.logitBias = [
        .init(token: 2, bias: 100), .init(token: 77, bias: 100), .init(token: -1, bias: 100),
      ]
    }
    #expect(drawn?.token == 2)
  }

  // Reported log probabilities are the raw ones, whatever temperature and bias did to the draw.
  @Test func logprobsAreOfTheRawLogits() throws {
    var bench = Bench([1, 2, 3, 2])
    let drawn = try #require(
      bench.draw {
        $0.temperature = 0
        $0.logprobs = 3
        $0.logitBias = [.init(token: 0, bias: 50)]
      })
    let total = logarithm([1.0, 2, 3, 2].map(exponential).reduce(0, +))
    let logprobs = try #require(drawn.logprobs)
    #expect(drawn.token == 0)
    #expect(abs(Double(logprobs.drawn) - (1 - total)) < 1e-5)
    #expect(logprobs.top.map(\.token) == [2, 1, 3])
    #expect(abs(Double(logprobs.top[0].logprob) - (3 - total)) < 1e-5)
  }
}
