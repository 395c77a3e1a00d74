/// Why a template cannot be used, or why these messages cannot be rendered with it.
package struct TemplateComplaint: Error, Equatable, Sendable, CustomStringConvertible {
  package enum Kind: Equatable, Sendable {
    /// The template is not Jinja. The operator's affair: another template, or none.
    case syntax
    /// It is Jinja, but a tag, filter, test or method that chat templates have not needed so far.
    case unsupported
    /// A named limit was hit: a hostile template, or messages far beyond any context.
    case limit
    /// The template and the messages do not fit: an undefined value was used, text was added to a
    /// number, and the like. Where jinja2 raises an error of Python, so do we.
    case type
    /// `raise_exception`: the template's author refuses these messages. The message is for the
    /// client as it stands, with status 400.
    case raisedByTemplate
    /// The JSON of the request is broken. The client's affair, 400.
    case input
  }

  package let kind: Kind
  /// Line of the template, from 1; 0 where no line is to blame.
  package let line: Int
  package let message: String

  package init(_ kind: Kind, line: Int = 0, _ message: String) {
    self.kind = kind
    self.line = line
    self.message = message
  }

  package var description: String {
    switch kind {
    case .raisedByTemplate, .input: message
    case .syntax, .unsupported, .limit, .type:
      line > 0 ? "chat template, line \(line): \(message)" : "chat template: \(message)"
    }
  }
}
