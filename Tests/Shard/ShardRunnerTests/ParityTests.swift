import Generation
import ShardPlan
import Testing

@testable import ShardRunner

/// Held against `transformers`, in fp32, on tiny random models of every architecture.
@Suite struct ParityTests {
  static let models = [
    "llama", "llama_tied", "llama_llama3", "llama_llama3_v4", "llama_linear", "llama_biases",
    "llama_six_heads", "qwen2", "qwen2_tied", "qwen3", "qwen3_yarn", "qwen3_moe",
    "qwen3_moe_raw", "deepseek_v2", "deepseek_v2_lite", "deepseek_v2_mscale", "deepseek_v3",
    "deepseek_v3_halves", "deepseek_v3_no_lora", "deepseek_v3_fp8",
  ]

  /// The issue's own bar for |difference of logits|.
  static let tolerance: Float = 1e-4

  // A transposed weight, a missing bias, a rope that turns the wrong pairs, a forgotten scale: each
  // moves some logit by far more than the tolerance. Blocks are out of order on purpose.
  @Test(arguments: models) func logitsEqualThoseOfTransformers(model: String) throws {
    let golden = try Golden("\(model)/golden.safetensors")
    let runner = try Runner(model)
    try check(runner, golden, chunk: 1)
  }

  // GGUF stores q and k of llama models in another order, and its dimensions backwards.
  @Test func aGGUFFileGivesTheSameModel() throws {
    try check(
      try Runner("gguf/llama.f16.gguf"), try Golden("llama/golden.safetensors"), chunk: 1)
    try check(
      try Runner("gguf/llama.q8_0.gguf"), try Golden("gguf/llama.q8_0.golden.safetensors"),
      chunk: 1)
  }

  private func check(_ runner: Runner, _ golden: Golden, chunk: Int) throws {
    for prompt in 0..<2 {
      let tokens = golden.integers("prompt\(prompt)")
      let positions = golden.integers("positions\(prompt)")
      let expected = golden.floats("logits\(prompt)")
      let actual = try runner.logits(tokens, chunk: chunk, blocks: [5, 2, 9, 7])
      for (row, position) in positions.enumerated() {
        guard let logits = actual[Int(position)] else { continue }
        var worst: Float = 0
        for token in 0..<runner.vocabulary {
          worst = max(worst, abs(logits[token] - expected[row * runner.vocabulary + token]))
        }
        #expect(
          worst <= Self.tolerance, "prompt \(prompt), position \(position): off by \(worst)")
      }
      let greedy = golden.integers("greedy\(prompt)")
      var last = actual[tokens.count - 1] ?? []
      for (index, token) in greedy.enumerated() {
        #expect(likeliest(last) == token, "prompt \(prompt), output \(index)")
        last = try runner.run([
          Runner.Piece(
            tokens: [token], position: tokens.count + index, blocks: [5, 2, 9, 7])
        ])[0]
      }
    }
  }

  private func likeliest(_ logits: [Float]) -> Int32 {
    Int32(logits.indices.max { (logits[$0], -$0) < (logits[$1], -$1) } ?? 0)
  }
}

/// What must make no difference at all: the same bits.
@Suite struct EquivalenceTests {
  static let models = [
    "llama", "qwen3_moe", "deepseek_v2", "deepseek_v3", "deepseek_v3_fp8",
  ]

  // A prompt in one piece, in chunks, or token by token; beside others or alone; with one thread or
  // three: a row's bits depend on its sequence alone.
  @Test(arguments: models, [WeightType.fp32, .bf16, .fp8])
  func chunksNeighboursAndThreadsChangeNothing(model: String, type: WeightType) throws {
    let golden = try Golden("\(model)/golden.safetensors")
    let tokens = golden.integers("prompt0")
    let other = golden.integers("prompt1")
    let runner = try Runner(model, type: type)
    let whole = try runner.logits(tokens, chunk: tokens.count, blocks: [1, 2, 3])
    let last = tokens.count - 1
    for chunk in [1, 3, 16, 17] {
      let pieces = try runner.logits(tokens, chunk: chunk, blocks: [4, 0, 9])
      #expect(pieces[last] == whole[last], "in chunks of \(chunk)")
    }
    let beside = try runner.run([
      Runner.Piece(tokens: other, position: 0, blocks: [6]),
      Runner.Piece(tokens: Array(tokens[..<20]), position: 0, blocks: [7, 8]),
      Runner.Piece(tokens: other, position: 0, blocks: [10]),
    ])
    #expect(beside[0] == beside[2])
    let rest = try runner.run([
      Runner.Piece(tokens: Array(tokens[20...]), position: 20, blocks: [7, 8, 11]),
      Runner.Piece(tokens: [other[0]], position: other.count, blocks: [10]),
    ])
    #expect(rest[0] == whole[last], "beside others")
    let single = try Runner(model, type: type, threads: 1)
    let alone = try single.logits(tokens, chunk: 9, blocks: [0, 1, 2])
    #expect(alone[last] == whole[last], "on one thread")
  }
}
