/// What the server needs of a model's text side: tokens from text and text from tokens. The rooms
/// Text and ChatTemplate do the work; a fake does in tests.
///
/// Sendable, since long prompts are rendered and encoded away from the loop.
package protocol TextModel: Sendable {
  /// Ids below it exist. Tokens.
  var vocabularySize: Int { get }
  /// Tokens that end a text of this model.
  var endTokens: [Int32] { get }
  /// Without one `/v1/chat/completions` is refused, and says so.
  var hasChatTemplate: Bool { get }

  /// Text of pieces that are not trusted is never read as special tokens. `addSpecial` puts what the
  /// tokenizer puts around a text of its own accord, such as a token for its begin.
  func encode(_ pieces: [TextPiece], addSpecial: Bool) -> [Int32]
  /// Messages as the model's template writes them. The error's description is shown to the client,
  /// with 400.
  func render(_ prompt: ChatPrompt) throws -> [TextPiece]
  /// What a token stands for, which need not be whole characters.
  func bytes(of token: Int32) -> [UInt8]
  /// `skipsSpecial`: special tokens have no text.
  func makeTextStream(skipsSpecial: Bool) -> any TextStream
}

/// Text out of tokens as they come. Characters that are cut by the border of two tokens come with
/// the second.
package protocol TextStream {
  mutating func append(_ token: Int32) -> String
  /// What is left; half a character becomes U+FFFD.
  mutating func finish() -> String
}

/// A stretch of text from one hand: of the template or of the caller as a whole (trusted), or from
/// inside a message.
package struct TextPiece: Equatable, Sendable {
  package var text: String
  /// Names of special tokens in it mean these tokens.
  package var isTrusted: Bool

  package init(_ text: String, isTrusted: Bool) {
    self.text = text
    self.isTrusted = isTrusted
  }
}

/// What a chat template is given. JSON is well-formed UTF-8, as the client wrote it: templates print
/// objects in the order of their members. Content that came in parts is one text already.
package struct ChatPrompt: Equatable, Sendable {
  /// An array of objects, each with a `role`.
  package var messages: [UInt8]
  /// An array of objects; nil for none.
  package var tools: [UInt8]?
  /// An object whose members the template sees as variables; nil for none.
  package var variables: [UInt8]?
  /// Ends with what opens the assistant's turn.
  package var addsGenerationPrompt: Bool

  package init(
    messages: [UInt8], tools: [UInt8]? = nil, variables: [UInt8]? = nil,
    addsGenerationPrompt: Bool = true
  ) {
    self.messages = messages
    self.tools = tools
    self.variables = variables
    self.addsGenerationPrompt = addsGenerationPrompt
  }
}
