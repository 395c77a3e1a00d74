/// A chat template: messages to the text that a model was trained on.
///
/// Templates are programs in Jinja that come with a model's tokenizer. This is a bounded,
/// sandboxed interpreter of what they need, equal to jinja2 as Hugging Face sets it up
/// (`ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)` with loop controls, the
/// `generation` tag, `tojson`, `raise_exception` and `strftime_now`).
///
/// What comes out says of each part whether it is the template's or the client's, so that a
/// special token typed by a client can be read as the plain text that it is.
package struct ChatTemplate: Sendable {
  /// A part of the text.
  package struct Piece: Sendable, Equatable {
    package let text: String
    /// The template's own words, the tokens at beginning and end, and the names of roles. What is
    /// not trusted came from the client: no special token may be seen in it.
    package let isTrusted: Bool

    package init(text: String, isTrusted: Bool) {
      self.text = text
      self.isTrusted = isTrusted
    }
  }

  private let program: Program
  private let limits: TemplateLimits

  /// Reads the template once. The complaint has the line, and what is wrong or not supported.
  package init(
    _ source: String, limits: TemplateLimits = TemplateLimits()
  ) throws(TemplateComplaint) {
    if source.utf8.count > limits.sourceBytes {
      throw TemplateComplaint(
        .limit,
        "the template is longer than \(limits.sourceBytes) bytes (limit 'sourceBytes')")
    }
    program = try Parser.program(source, limits)
    self.limits = limits
  }

  /// The text of a conversation, in pieces whose kind changes from each to the next.
  package func render(_ input: ChatInput) throws(TemplateComplaint) -> [Piece] {
    try text(input).pieces
  }

  func text(_ input: ChatInput) throws(TemplateComplaint) -> MarkedText {
    let globals = Scope(parent: nil)
    func set(_ name: String, _ value: @autoclosure () -> Value) {
      // What the template never mentions need not be there.
      guard let number = program.names.firstIndex(of: name) else { return }
      globals.set(number, to: value())
    }
    if let token = input.bosToken { set("bos_token", .text(token)) }
    if let token = input.eosToken { set("eos_token", .text(token)) }
    for member in input.extra {
      set(String(decoding: member.name, as: UTF8.self), member.value.value())
    }
    set("messages", input.messageValues)
    set("tools", input.tools?.value() ?? .none)
    set("documents", input.documents?.value() ?? .none)
    set("add_generation_prompt", .bool(input.addGenerationPrompt))
    var interpreter = Interpreter(program, limits, globals: globals, now: input.now)
    return try interpreter.run()
  }
}
