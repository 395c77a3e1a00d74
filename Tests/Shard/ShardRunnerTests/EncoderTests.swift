import ShardPlan
import Testing

@testable import ShardRunner

/// Encoders against `transformers`, and against themselves.
@Suite struct EncoderTests {
  // A post-norm that comes too early, a position off by one, a wrong pooling: all are far beyond the
  // tolerance.
  @Test func vectorsEqualThoseOfTransformers() throws {
    let golden = try Golden("bert/golden.safetensors")
    let encoder = try EncoderBackend(Golden.folder + "bert", type: .fp32, threads: 2)
    for text in 0..<2 {
      let vector = try #require(encoder.embed([golden.integers("prompt\(text)")]).first)
      for (actual, expected) in zip(encoder.hidden(), golden.floats("hidden\(text)")) {
        #expect(abs(actual - expected) < 1e-4)
      }
      let expected = golden.floats("embedding\(text)")
      #expect(vector.count == expected.count)
      for (actual, expected) in zip(vector, expected) { #expect(abs(actual - expected) < 1e-4) }
    }
  }

  // Beside others or alone, on one thread or three: the same bits.
  @Test func neighboursAndThreadsChangeNothing() throws {
    let golden = try Golden("bert/golden.safetensors")
    let texts = [golden.integers("prompt0"), golden.integers("prompt1")]
    let encoder = try EncoderBackend(Golden.folder + "bert", type: .bf16, threads: 1)
    let alone = texts.flatMap { encoder.embed([$0]) }
    let other = try EncoderBackend(Golden.folder + "bert", type: .bf16, threads: 3)
    #expect(other.embed([texts[1], texts[0], texts[1]]) == [alone[1], alone[0], alone[1]])
  }

  @Test func aLanguageModelIsNoEncoder() {
    #expect(
      throws: LoadComplaint(
        "llama is a language model, of the family llama; portico-worker serves those")
    ) { _ = try EncoderBackend(Golden.folder + "llama", type: nil, threads: 1) }
  }
}
