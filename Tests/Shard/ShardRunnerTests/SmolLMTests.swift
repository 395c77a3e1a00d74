import Glibc
import JSON
import ShardPlan
import Testing

@testable import ShardRunner

/// A real model, where the bootstrap has fetched it: SmolLM2 from its GGUF, against `transformers`.
@Suite struct SmolLMTests {
  private static let path: String = {
    let tests = Golden.folder
    let package = tests.split(separator: "/", omittingEmptySubsequences: false).dropLast(5)
    return package.joined(separator: "/") + "/.build/models/SmolLM2-135M-Instruct.gguf"
  }()

  static var isThere: Bool { access(path, R_OK) == 0 }

  // Thirty layers let small mistakes add up: the likeliest token and its logit, 32 times in a row.
  @Test(.enabled(if: SmolLMTests.isThere), arguments: 0..<3)
  func greedyTextsEqualThoseOfTransformers(prompt: Int) throws {
    let golden = try JSONValue(try Golden.contents(Golden.folder + "smollm2.json"))
    let story = try #require(golden["prompts"]?.elements?[prompt])
    let ids = try #require(story["ids"]?.elements).compactMap(\.integer).map { Int32($0) }
    let greedy = try #require(story["gguf"]?["greedy"]?.elements).compactMap(\.integer)
    let tops = try #require(story["gguf"]?["logits5"]?.elements)
    let runner = try Runner(Self.path, blocks: 16)
    let blocks = (0..<16).map { Int32($0) }
    var logits = try runner.logits(ids, chunk: 64, blocks: blocks)[ids.count - 1] ?? []
    for (index, token) in greedy.enumerated() {
      let best = logits.indices.max { logits[$0] < logits[$1] } ?? 0
      #expect(best == token, "output \(index)")
      let expected = tops[index].elements?.first?.number ?? 0
      #expect(abs(Double(logits[best]) - expected) < 2e-3, "output \(index)")
      logits = try runner.run([
        Runner.Piece(tokens: [Int32(token)], position: ids.count + index, blocks: blocks)
      ])[0]
    }
  }
}
