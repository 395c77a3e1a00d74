import JSON

/// Where the model's tokenizer is written down.
package enum TokenizerSource: Sendable {
  /// The bytes of tokenizer.json, which whoever reads tokenizers parses, and tokenizer_config.json
  /// where there is one.
  case huggingFace(file: [UInt8], config: JSONValue?)
  case gguf(GGUFTokenizer)
  case missing
}

/// The texts of tokens with a role, where the model has them.
package struct SpecialTokens: Equatable, Sendable {
  package var beginning: String?
  package var end: String?
  package var padding: String?
  package var unknown: String?
  /// BERT's.
  package var classification: String?
  package var separator: String?
  package var mask: String?

  package init() {}
}

/// The files of a Hugging Face folder that are about text.
struct TextFiles {
  /// Bytes of tokenizer.json. Those with a quarter of a million tokens have some 35 million.
  static let tokenizerLimit = 64 << 20
  /// Bytes of a chat template. Count; long ones have 20 thousand.
  static let templateLimit = 1 << 20

  private let folder: String
  private let config: JSONValue?
  let chatTemplate: String?
  let specialTokens: SpecialTokens

  init(_ folder: String) throws(ModelComplaint) {
    self.folder = folder
    let file = try MappedFile.ifPresent(
      folder + "/tokenizer_config.json", limit: ConfigReader.limit)
    config = try file.map { (file) throws(ModelComplaint) in try ConfigReader.json(file) }
    // A file of its own is the newer way, and counts first in transformers.
    if let file = try MappedFile.ifPresent(
      folder + "/chat_template.jinja", limit: Self.templateLimit)
    {
      guard let text = file.text() else {
        throw ModelComplaint(file.path, "is not UTF-8")
      }
      chatTemplate = text
    } else {
      chatTemplate = try Self.template(config, file?.path ?? folder)
    }
    let map = try MappedFile.ifPresent(
      folder + "/special_tokens_map.json", limit: ConfigReader.limit)
    specialTokens = Self.specialTokens([
      config, try map.map { (file) throws(ModelComplaint) in try ConfigReader.json(file) },
    ])
  }

  /// Reads tokenizer.json, the largest of the texts: some tenths of a second for the largest.
  func tokenizer() throws(ModelComplaint) -> TokenizerSource {
    guard
      let file = try MappedFile.ifPresent(
        folder + "/tokenizer.json", limit: Self.tokenizerLimit)
    else { return .missing }
    return .huggingFace(file: [UInt8](file.bytes), config: config)
  }

  /// A text, or a list of named ones of which `default` counts.
  private static func template(
    _ config: JSONValue?, _ path: String
  ) throws(ModelComplaint) -> String? {
    var template: String?
    switch config?["chat_template"] {
    case nil, .null: return nil
    case .string(let text): template = text
    case .array(let named):
      template = named.first { $0["name"] == .string("default") }?["template"]?.text
    case .object(let named): template = named["default"]?.text
    case .bool, .number: break
    }
    guard let template, template.utf8.count <= templateLimit else {
      throw ModelComplaint(
        path,
        "'chat_template' is neither a text of at most \(templateLimit) bytes nor a list with one"
          + " named 'default'")
    }
    return template
  }

  /// Each is a text or `{"content": text}`; the first file that has it counts.
  private static func specialTokens(_ files: [JSONValue?]) -> SpecialTokens {
    func find(_ name: String) -> String? {
      for case let file? in files {
        if let text = file[name]?.text ?? file[name]?["content"]?.text { return text }
      }
      return nil
    }
    var tokens = SpecialTokens()
    tokens.beginning = find("bos_token")
    tokens.end = find("eos_token")
    tokens.padding = find("pad_token")
    tokens.unknown = find("unk_token")
    tokens.classification = find("cls_token")
    tokens.separator = find("sep_token")
    tokens.mask = find("mask_token")
    return tokens
  }
}
