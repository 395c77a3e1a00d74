import JSON

/// Tokens that stand around every text: `post_processor` of tokenizer.json, as far as it is about
/// one text alone.
struct PostProcessor: Sendable, Equatable {
  var prefix: [Int32] = []
  var suffix: [Int32] = []

  init() {}

  /// `id` finds tokens that the file names without saying their id.
  init(_ value: JSONValue?, id: (String) -> Int32?) throws(TokenizerComplaint) {
    guard let value, value != .null else { return }
    switch value["type"]?.text {
    case "ByteLevel": return
    case "TemplateProcessing": try readTemplate(value, id: id)
    case "BertProcessing", "RobertaProcessing":
      prefix = [try Self.token(value["cls"]?.elements?.first?.text, id: id)]
      suffix = [try Self.token(value["sep"]?.elements?.first?.text, id: id)]
    case "Sequence":
      for step in value["processors"]?.elements ?? [] {
        guard step["type"]?.text != "Sequence" else {
          throw TokenizerComplaint(
            "a Sequence within a Sequence of post-processors is not supported")
        }
        let inner = try PostProcessor(step, id: id)
        prefix = inner.prefix + prefix
        suffix += inner.suffix
      }
    case let type:
      throw TokenizerComplaint(
        "the post-processor \(quoted(type ?? "?")) is not supported; TemplateProcessing, "
          + "BertProcessing, RobertaProcessing, ByteLevel and a Sequence of them are")
    }
  }

  private mutating func readTemplate(
    _ value: JSONValue, id: (String) -> Int32?
  ) throws(TokenizerComplaint) {
    var hasText = false
    for part in value["single"]?.elements ?? [] {
      if let name = part["SpecialToken"]?["id"]?.text {
        var ids: [Int32] = []
        if let listed = value["special_tokens"]?[name]?["ids"]?.elements {
          for number in listed {
            guard let id = number.integer, id >= 0, id < Vocabulary.idLimit else {
              throw TokenizerComplaint(
                "the template of the post-processor has an id that is none for \(quoted(name))")
            }
            ids.append(Int32(id))
          }
        } else {
          ids = [try Self.token(name, id: id)]
        }
        if hasText { suffix += ids } else { prefix += ids }
      } else if part["Sequence"]?["id"]?.text == "A", !hasText {
        hasText = true
      } else {
        throw TokenizerComplaint(
          "the template of the post-processor must hold special tokens and the text once")
      }
    }
    guard hasText else {
      throw TokenizerComplaint("the template of the post-processor has no place for the text")
    }
  }

  private static func token(
    _ name: String?, id: (String) -> Int32?
  ) throws(TokenizerComplaint) -> Int32 {
    guard let name else {
      throw TokenizerComplaint("the post-processor lacks the name of a token")
    }
    guard let id = id(name) else {
      throw TokenizerComplaint(
        "the post-processor names the token \(quoted(name)), which the vocabulary lacks")
    }
    return id
  }
}
