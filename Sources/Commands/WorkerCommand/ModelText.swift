import ChatTemplate
import Glibc
import JSON
import ModelFiles
import Text
import WorkerServer

/// The text side of a model, as the server wants it: its tokenizer and its chat template.
struct ModelText: TextModel {
  let tokenizer: Tokenizer
  let template: ChatTemplate?
  let endTokens: [Int32]
  private let special: SpecialTokens

  /// What is wrong with the tokenizer ends the start; a template that is not understood only closes
  /// `/v1/chat/completions`, with `warning` for the operator.
  init(_ source: ModelSource, warning: (String) -> Void) throws {
    let special = source.specialTokens
    self.special = special
    endTokens = source.shape.endTokens
    switch try source.tokenizer() {
    case .huggingFace(let file, let config):
      tokenizer = try Tokenizer(huggingFace: file, config: config)
    case .gguf(let file):
      guard file.model == "gpt2", let pre = file.pre else {
        throw ModelTextComplaint(
          description: "\(source.name): its tokenizer is of the kind '\(file.model)', which is not "
            + "read from a GGUF; use the model's Hugging Face folder")
      }
      tokenizer = try Tokenizer(
        gguf: file.tokens, types: file.types.map { Int32(truncatingIfNeeded: $0) },
        merges: file.merges, pre: pre,
        bos: file.beginningToken, eos: file.endToken, addBOS: file.addsBeginning)
    case .missing:
      throw ModelTextComplaint(
        description: "\(source.name) has no tokenizer.json; a worker needs one to read text")
    }
    guard tokenizer.vocabularySize <= source.shape.vocabulary else {
      throw ModelTextComplaint(
        description:
          "\(source.name): its tokenizer has \(tokenizer.vocabularySize) tokens, but the "
          + "model only \(source.shape.vocabulary); the files are not of one model")
    }
    do {
      template = try source.chatTemplate.map { try ChatTemplate($0) }
    } catch {
      template = nil
      warning("the chat template is not used: \(error)")
    }
  }

  var vocabularySize: Int { tokenizer.vocabularySize }
  var hasChatTemplate: Bool { template != nil }

  func encode(_ pieces: [TextPiece], addSpecial: Bool) -> [Int32] {
    tokenizer.encode(
      pieces: pieces.map { (text: $0.text, isTrusted: $0.isTrusted) }, addSpecial: addSpecial)
  }

  func render(_ prompt: ChatPrompt) throws -> [TextPiece] {
    guard let template else {
      throw ModelTextComplaint(description: "this model has no chat template")
    }
    var input = try ChatInput(
      messages: try OrderedJSON(prompt.messages),
      tools: try prompt.tools.map { try OrderedJSON($0) },
      addGenerationPrompt: prompt.addsGenerationPrompt, bosToken: special.beginning,
      eosToken: special.end, now: Self.wallTime())
    if let variables = prompt.variables, case .object(let members) = try OrderedJSON(variables) {
      input.extra = members
    }
    return try template.render(input).map { TextPiece($0.text, isTrusted: $0.isTrusted) }
  }

  func bytes(of token: Int32) -> [UInt8] { tokenizer.bytes(of: token) }

  func makeTextStream(skipsSpecial: Bool) -> any TextStream {
    Stream(detokenizer: Detokenizer(tokenizer, skipSpecial: skipsSpecial))
  }

  private struct Stream: TextStream {
    var detokenizer: Detokenizer

    mutating func append(_ token: Int32) -> String { detokenizer.append(token) }
    mutating func finish() -> String { detokenizer.finish() }
  }

  private static func wallTime() -> WallTime? {
    var now = time(nil)
    var parts = tm()
    guard localtime_r(&now, &parts) != nil else { return nil }
    return WallTime(
      year: Int(parts.tm_year) + 1900, month: Int(parts.tm_mon) + 1, day: Int(parts.tm_mday),
      hour: Int(parts.tm_hour), minute: Int(parts.tm_min), second: Int(parts.tm_sec))
  }
}

struct ModelTextComplaint: Error, CustomStringConvertible {
  let description: String
}
