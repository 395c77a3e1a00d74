/// How the next token is drawn. The order of the steps is that of `Sampler`; defaults change nothing.
package struct SamplingParameters: Equatable, Sendable {
  /// Below 1e-5 the likeliest token is taken, the lowest id on ties.
  package var temperature: Float = 1
  /// 0 for all.
  package var topK: Int = 0
  package var topP: Float = 1
  package var minP: Float = 0
  /// Over prompt and output.
  package var repetitionPenalty: Float = 1
  /// Over output only.
  package var presencePenalty: Float = 0
  package var frequencyPenalty: Float = 0
  /// The random numbers of output i are a function of `seed` and i alone, so the text does not
  /// depend on what else runs, nor on preemption. The server draws one where the client gave none.
  package var seed: UInt64 = 0
  package var logitBias: [LogitBias] = []
  /// Likeliest tokens to report with each token; nil for no log probabilities at all. 0...20.
  package var logprobs: Int?

  package struct LogitBias: Equatable, Sendable {
    package var token: Int32
    package var bias: Float

    package init(token: Int32, bias: Float) {
      self.token = token
      self.bias = bias
    }
  }

  package init() {}
}
