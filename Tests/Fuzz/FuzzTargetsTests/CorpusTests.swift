import FuzzTargets
import Primitives
import Testing

/// What could break: whatever reads bytes of strangers. Every input that was ever interesting to a
/// fuzzer runs again, whole and mutated; `Tests/Fuzz/README.md` says how to look for more.
@Suite struct CorpusTests {
  @Test(arguments: FuzzTarget.all) func everyInputOfTheCorpus(_ target: FuzzTarget) throws {
    let inputs = try #require(Corpus.inputs(target.name), "no corpus, or a line that is misspelt")
    #expect(!inputs.isEmpty)
    for input in [[]] + inputs { check(target, input) }
  }

  /// A poor man's fuzzer, the same at each run.
  @Test(arguments: FuzzTarget.all) func mutationsOfTheCorpus(_ target: FuzzTarget) throws {
    let inputs = try #require(Corpus.inputs(target.name))
    var mutator = Mutator(seed: 4, inputs: inputs, words: Corpus.words(target.name))
    for _ in 0..<(target.isSlow ? 200 : 1_200) { check(target, mutator.next()) }
  }

  private func check(_ target: FuzzTarget, _ input: [UInt8]) {
    do {
      try input.withUnsafeBytes { try target.run($0) }
    } catch {
      Issue.record("\(target) of \(spelled(input)): \(error)")
    }
  }

  /// The spelling of inputs in corpus files loses nothing.
  @Test func spelling() {
    let all = (0...255).map { UInt8($0) }
    #expect(unspelled(spelled(all)) == all)
    #expect(unspelled("a\\q") == nil)
    #expect(unspelled("a\\x1") == [0x61, 1])
  }
}
