/// The members of a request that matter at the front door, as a set. The names are those of the
/// OpenAI and Anthropic APIs, as vLLM, SGLang, TGI, llama.cpp and Ollama read them.
package struct RequestNames: OptionSet, Hashable, Sendable {
  package let rawValue: UInt16

  package init(rawValue: UInt16) { self.rawValue = rawValue }

  package static let model = Self(rawValue: 1 << 0)
  package static let stream = Self(rawValue: 1 << 1)
  package static let maxTokens = Self(rawValue: 1 << 2)
  package static let maxCompletionTokens = Self(rawValue: 1 << 3)
  package static let maxOutputTokens = Self(rawValue: 1 << 4)
  package static let n = Self(rawValue: 1 << 5)
  package static let bestOf = Self(rawValue: 1 << 6)
  package static let prompt = Self(rawValue: 1 << 7)
  package static let messages = Self(rawValue: 1 << 8)
  package static let input = Self(rawValue: 1 << 9)
  package static let system = Self(rawValue: 1 << 10)
  package static let instructions = Self(rawValue: 1 << 11)

  /// Values that are counted as prompt.
  package static let prompts: Self = [.prompt, .messages, .input, .system, .instructions]
  /// Values that are numbers.
  package static let numbers: Self = [
    .maxTokens, .maxCompletionTokens, .maxOutputTokens, .n, .bestOf,
  ]

  /// The one whose spelling this is, when the set holds one; for texts.
  package var spelling: StaticString {
    switch self {
    case .model: "model"
    case .stream: "stream"
    case .maxTokens: "max_tokens"
    case .maxCompletionTokens: "max_completion_tokens"
    case .maxOutputTokens: "max_output_tokens"
    case .n: "n"
    case .bestOf: "best_of"
    case .prompt: "prompt"
    case .messages: "messages"
    case .input: "input"
    case .system: "system"
    case .instructions: "instructions"
    default: "?"
    }
  }

}

extension RequestNames {
  /// The one that is spelled so; empty when none is.
  static func find(_ bytes: UnsafeRawBufferPointer) -> Self {
    switch bytes.count {
    case 1: pick(bytes, .n)
    case 5: pick(bytes, .model, .input)
    case 6: pick(bytes, .stream, .prompt, .system)
    case 7: pick(bytes, .bestOf)
    case 8: pick(bytes, .messages)
    case 10: pick(bytes, .maxTokens)
    case 12: pick(bytes, .instructions)
    case 17: pick(bytes, .maxOutputTokens)
    case 21: pick(bytes, .maxCompletionTokens)
    default: []
    }
  }

  @inline(__always)
  private static func pick(
    _ bytes: UnsafeRawBufferPointer, _ first: Self, _ second: Self = [], _ third: Self = []
  ) -> Self {
    if first.isSpelled(bytes) { return first }
    if !second.isEmpty, second.isSpelled(bytes) { return second }
    return !third.isEmpty && third.isSpelled(bytes) ? third : []
  }

  @inline(__always) private func isSpelled(_ bytes: UnsafeRawBufferPointer) -> Bool {
    let spelling = spelling
    for index in 0..<bytes.count where bytes[index] != spelling.utf8Start[index] { return false }
    return true
  }
}
