import Glibc
import JSON
import ModelFiles
import ShardPlan
import Testing

@testable import ShardRunner

/// Held against `transformers` and sentence-transformers' own steps, in fp32.
@Suite struct EncoderTests {
  private static func backend(
    _ model: String = Golden.folder + "bert", type: WeightType = .fp32, threads: Int = 2,
    batchTokens: Int = 512
  ) throws -> EncoderBackend {
    var settings = EncoderSettings(threads: threads)
    settings.type = type
    settings.batchTokens = batchTokens
    return try EncoderBackend(try ModelSource.open(model), settings)
  }

  private static func difference(_ a: some Sequence<Float>, _ b: [Float]) -> Float {
    zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) }
  }

  /// Prompts of the golden, by their numbers.
  private static func prompts(_ golden: Golden) -> [[Int32]] {
    (0...).prefix { golden.bytes("prompt\($0)") != nil }.map { golden.integers("prompt\($0)") }
  }

  // A norm at the wrong end of a layer, token types forgotten, gelu by tanh, a mean that counts
  // [PAD]: each moves the vector by far more than the tolerance.
  @Test func vectorsEqualThoseOfTransformers() throws {
    let golden = try Golden("bert/golden.safetensors")
    let backend = try Self.backend()
    let prompts = Self.prompts(golden)
    #expect(prompts.count >= 2)
    for (index, prompt) in prompts.enumerated() {
      let vector = backend.embed(prompt, lengths: [prompt.count])
      let expected = golden.floats("hidden\(index)")
      let hidden = UnsafeBufferPointer(start: backend.hidden, count: expected.count)
      #expect(expected.count == prompt.count * backend.size)
      #expect(Self.difference(hidden, expected) <= 1e-4, "hidden states of text \(index)")
      #expect(
        Self.difference(vector, golden.floats("embedding\(index)")) <= 1e-4, "text \(index)")
    }
  }

  // Neighbours in the batch, threads and the place in it change no bit.
  @Test(arguments: [WeightType.fp32, .bf16], [1, 3])
  func aTextIsAloneInItsBatch(type: WeightType, threads: Int) throws {
    let golden = try Golden("bert/golden.safetensors")
    let prompts = Self.prompts(golden)
    let single = try Self.backend(type: type, threads: 1)
    let alone = prompts.map { single.embed($0, lengths: [$0.count]) }
    let backend = try Self.backend(type: type, threads: threads)
    let order = [1, 0, 1, 1, 0]
    let together = backend.embed(
      order.flatMap { prompts[$0] }, lengths: order.map { prompts[$0].count })
    #expect(together == order.flatMap { alone[$0] })
    let one = backend.embed([5], lengths: [1])
    #expect(backend.embed(prompts[0] + [5], lengths: [prompts[0].count, 1]) == alone[0] + one)
    #expect(backend.embed([], lengths: []) == [])
  }

  // The golden's weights are exact in bf16, so that only the way of computing may differ.
  @Test func halfAsWideWeightsAreNearlyAsGood() throws {
    let golden = try Golden("bert/golden.safetensors")
    let prompt = golden.integers("prompt0")
    let vector = try Self.backend(type: .bf16).embed(prompt, lengths: [prompt.count])
    #expect(Self.difference(vector, golden.floats("embedding0")) <= 2e-3)
  }

  // Each program says which other one serves the model.
  @Test func theWrongKindOfModelIsRefused() throws {
    #expect(
      throws: LoadComplaint(
        "llama is a llama model, which makes texts, not embeddings; portico-worker serves it")
    ) {
      try Self.backend(Golden.folder + "llama")
    }
    #expect(
      throws: LoadComplaint(
        "bert is an encoder, which makes embeddings, not texts; portico-embed serves it")
    ) {
      try Runner("bert")
    }
  }

  /// Where all-MiniLM-L6-v2 is: as the bootstrap leaves it, or where PORTICO_MINILM says.
  static let miniLM: String? = {
    let root = Golden.folder.split(separator: "/").dropLast(4).map { "/" + $0 }.joined()
    let candidates = [
      getenv("PORTICO_MINILM").map { String(cString: $0) },
      root + "/.build/models/all-MiniLM-L6-v2",
    ]
    return candidates.compactMap { $0 }.first { access($0 + "/model.safetensors", R_OK) == 0 }
  }()

  // The real model, all texts in one batch.
  @Test(.enabled(if: miniLM != nil)) func miniLMEqualsSentenceTransformers() throws {
    let golden = try JSONValue(try Golden.contents(Golden.folder + "minilm.json"))
    let items = try #require(golden["items"]?.elements)
    let texts = items.map { $0["ids"]?.elements?.compactMap { $0.integer.map(Int32.init) } ?? [] }
    let backend = try Self.backend(try #require(Self.miniLM), batchTokens: 4_096)
    let vectors = backend.embed(texts.flatMap { $0 }, lengths: texts.map(\.count))
    for (index, item) in items.enumerated() {
      let expected = item["embedding"]?.elements?.compactMap { $0.number.map(Float.init) } ?? []
      #expect(expected.count == backend.size)
      let mine = vectors[index * backend.size..<(index + 1) * backend.size]
      #expect(Self.difference(mine, expected) <= 1e-4, "text \(index)")
    }
  }
}
