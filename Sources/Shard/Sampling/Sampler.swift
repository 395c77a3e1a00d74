import CShardKernels
import Generation

/// From a row of logits to the next token. The order of the steps is vLLM's:
///
/// ```
/// log probabilities of the raw logits > ends masked, bias > repetition, presence, frequency
///   > temperature > min_p > top_k > top_p > one draw
/// ```
/// A draw is the inverse of the cumulated probabilities at one uniform number, which is a function of
/// the request's seed and the place of the token in its output alone: what else runs, preemption and
/// restarts change nothing. Keeps scratch memory; belongs to one thread.
package struct Sampler {
  /// What the penalties and masks need to know of a sequence.
  package struct Context {
    package var prompt: UnsafeBufferPointer<Int32>
    package var output: UnsafeBufferPointer<Int32>
    /// May not be drawn: ends, while the output is shorter than the client's minimum.
    package var masked: [Int32]

    package init(
      prompt: UnsafeBufferPointer<Int32>, output: UnsafeBufferPointer<Int32>, masked: [Int32] = []
    ) {
      self.prompt = prompt
      self.output = output
      self.masked = masked
    }
  }

  package struct Drawn: Equatable {
    package var token: Int32
    package var logprobs: TokenLogprobs?
  }

  /// At most so many likeliest tokens are reported; the API's own limit.
  package static let logprobLimit = 20

  /// Length of a row of logits, and how many of its first ids exist: models pad their tables.
  private let vocabulary: Int
  private let known: Int
  /// How often a token stands in the output; and 1 for those in prompt or output. All zero between
  /// calls.
  private var counts: [Int32]
  private var candidates = Candidates()

  /// `known` is the count of ids that the tokenizer has.
  package init(vocabulary: Int, known: Int) {
    self.vocabulary = vocabulary
    self.known = min(vocabulary, known)
    counts = [Int32](repeating: 0, count: vocabulary)
  }

  /// nil when the logits are not numbers, which only broken weights make. Changes the row.
  package mutating func draw(
    _ logits: UnsafeMutablePointer<Float>, _ parameters: SamplingParameters, _ context: Context
  ) -> Drawn? {
    var isFinite: Int32 = 1
    let likeliest = pk_argmax(logits, known, &isFinite)
    guard isFinite != 0 else { return nil }
    let raw = parameters.logprobs.map { rawLogprobs(logits, wanted: $0) }
    let rawLogits = raw.map { _ in Array(UnsafeBufferPointer(start: logits, count: known)) }
    let isChanged = adjust(logits, parameters, context)
    let token: Int32
    if parameters.temperature < 1e-5 {
      token = Int32(isChanged ? pk_argmax(logits, known, &isFinite) : likeliest)
    } else {
      token = candidates.draw(
        logits, known, parameters,
        uniform: Self.uniform(seed: parameters.seed, index: context.output.count))
    }
    guard let raw, let rawLogits else { return Drawn(token: token, logprobs: nil) }
    return Drawn(
      token: token,
      logprobs: TokenLogprobs(drawn: rawLogits[Int(token)] - raw.norm, top: raw.top))
  }

  // MARK: Log probabilities

  private func rawLogprobs(
    _ logits: UnsafeMutablePointer<Float>, wanted: Int
  ) -> (norm: Float, top: [TokenLogprobs.Entry]) {
    var max: Float = 0
    var lse: Float = 0
    pk_log_sum_exp(logits, known, &max, &lse)
    let norm = lse
    let count = min(wanted, Self.logprobLimit, known)
    var top: [TokenLogprobs.Entry] = []
    guard count > 0 else { return (norm, top) }
    top.reserveCapacity(count + 1)
    for token in 0..<known {
      let logit = logits[token]
      if top.count == count, logit <= top[count - 1].logprob { continue }
      // Behind equals: the lower id comes first.
      let place = top.firstIndex { $0.logprob < logit } ?? top.count
      top.insert(TokenLogprobs.Entry(token: Int32(token), logprob: logit), at: place)
      if top.count > count { top.removeLast() }
    }
    for index in top.indices { top[index].logprob -= norm }
    return (norm, top)
  }

  // MARK: Masks, bias and penalties

  /// True if any logit may have changed.
  private mutating func adjust(
    _ logits: UnsafeMutablePointer<Float>, _ parameters: SamplingParameters, _ context: Context
  ) -> Bool {
    var isChanged = false
    for token in context.masked where token >= 0 && Int(token) < known {
      logits[Int(token)] = -.infinity
      isChanged = true
    }
    for entry in parameters.logitBias where entry.token >= 0 && Int(entry.token) < known {
      logits[Int(entry.token)] += entry.bias
      isChanged = true
    }
    if parameters.repetitionPenalty != 1 {
      isChanged = true
      repetition(logits, parameters.repetitionPenalty, context)
    }
    if parameters.presencePenalty != 0 || parameters.frequencyPenalty != 0 {
      isChanged = true
      for token in context.output { counts[Int(token)] += 1 }
      for token in context.output where counts[Int(token)] > 0 {
        logits[Int(token)] -=
          parameters.presencePenalty
          + parameters.frequencyPenalty * Float(counts[Int(token)])
        counts[Int(token)] = 0
      }
    }
    return isChanged
  }

  private mutating func repetition(
    _ logits: UnsafeMutablePointer<Float>, _ penalty: Float, _ context: Context
  ) {
    for tokens in [context.prompt, context.output] {
      for token in tokens where counts[Int(token)] == 0 {
        counts[Int(token)] = 1
        let logit = logits[Int(token)]
        logits[Int(token)] = logit < 0 ? logit * penalty : logit / penalty
      }
    }
    for tokens in [context.prompt, context.output] {
      for token in tokens { counts[Int(token)] = 0 }
    }
  }

  // MARK: Randomness

  /// A number in [0, 1) for the output's token of that index: SplitMix64's finisher over both, twice,
  /// so that neighbours have nothing in common.
  package static func uniform(seed: UInt64, index: Int) -> Double {
    var bits = seed &+ 0x9e37_79b9_7f4a_7c15 &* (UInt64(truncatingIfNeeded: index) &+ 1)
    for _ in 0..<2 {
      bits = (bits ^ (bits >> 30)) &* 0xbf58_476d_1ce4_e5b9
      bits = (bits ^ (bits >> 27)) &* 0x94d0_49bb_1331_11eb
      bits ^= bits >> 31
    }
    return Double(bits >> 11) * 0x1p-53
  }
}
