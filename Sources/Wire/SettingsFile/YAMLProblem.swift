import CYAML

/// An error of libyaml, said as what the operator must change.
///
/// libyaml names the state of its scanner; these sentences name the usual slip that leads there.
package struct YAMLProblem {
  package let complaint: Complaint

  package init(_ parser: yaml_parser_t, in source: SourceText) {
    let problem = parser.problem.map { String(cString: $0) } ?? "cannot be read"
    let context = parser.context.map { String(cString: $0) } ?? ""
    let at = Self.place(parser.problem_mark, source)
    let began = context.isEmpty ? at : Self.place(parser.context_mark, source)
    let sentence = Self.sentence(
      problem: problem, context: context, at: at, began: began, source: source)
    complaint = Complaint(sentence.place, sentence.message)
  }

  private static func place(_ mark: yaml_mark_t, _ source: SourceText) -> Place {
    Place(file: source.file, line: Int(mark.line) + 1, column: Int(mark.column) + 1)
  }

  private static func sentence(
    problem: String, context: String, at: Place, began: Place, source: SourceText
  ) -> (place: Place, message: String) {
    let rest = String(source.line(at.line).unicodeScalars.dropFirst(at.column - 1))
    let word = rest.unicodeScalars.prefix { $0 != " " && $0 != "\t" }.reduce(into: "") {
      $0.unicodeScalars.append($1)
    }
    switch problem {
    case _ where rest.hasPrefix("\t") || holds(problem, "tab character"):
      return (at, "a tab where YAML wants spaces; replace it by spaces")
    case "found character that cannot start any token":
      return (at, "a value cannot begin with '\(shown(String(rest.prefix(1))))'; put it in quotes")
    case "did not find expected alphabetic or numeric character":
      let value = shown(String(source.line(began.line).unicodeScalars.dropFirst(began.column - 1)))
      return (
        began,
        "a value that begins with '\(value.prefix(1))' needs quotes; write '\(value)' in them"
      )
    case "found unexpected end of stream" where holds(context, "quoted"):
      return (began, "this quote is never closed")
    case "mapping values are not allowed in this context":
      return (
        at,
        "a ':' that is not expected here; quote the value, align the keys, or add the ':' missing above"
      )
    case "could not find expected ':'":
      return (began, "a key without ':'; write 'key: value', or quote the value above it")
    case "did not find expected key":
      if word.first == "}" || word.first == "]" {
        return (at, "a '\(word.prefix(1))' without its opening bracket")
      }
      return (
        at,
        "not aligned with the mapping that begins on line \(began.line), column \(began.column)"
          + hint(source.line(at.line))
      )
    case "did not find expected '-' indicator":
      return (
        at, "not aligned with the list that begins on line \(began.line), column \(began.column)"
      )
    case "did not find expected ',' or ']'":
      return (
        at, "expected ',' or ']' in the list that begins on line \(began.line)" + hint(at, source)
      )
    case "did not find expected ',' or '}'":
      return (
        at,
        "expected ',' or '}' in the mapping that begins on line \(began.line)" + hint(at, source)
      )
    case "did not find expected node content":
      return (at, "a value is missing here" + hint(at, source))
    case "block sequence entries are not allowed in this context":
      return (at, "a '-' that is not expected here; begin the list on a line of its own")
    case "found unknown escape character":
      return (at, "an unknown escape; use single quotes, or write '\\\\' for a backslash")
    case "did not find expected <document start>":
      return (at, "expected the end of the file; align this with the keys at the top")
    default:
      return (at, problem + (context.isEmpty ? "" : " \(context)"))
    }
  }

  private static func hint(_ at: Place, _ source: SourceText) -> String {
    hint(source.line(max(1, at.line)))
  }

  /// Two values that look harmless and need quotes in YAML.
  private static func hint(_ line: String) -> String {
    if holds(line, "${") {
      return "; put values with ${...} in quotes inside { } and [ ]"
    }
    if holds(line, "[:") || holds(line, "]:") {
      return "; put an IPv6 address in quotes: '[::1]:8080'"
    }
    return ""
  }

  /// `String.contains` of a text would bring the regular expression library into the binary.
  private static func holds(_ text: String, _ part: String) -> Bool {
    var rest = text.utf8[...]
    while !rest.isEmpty {
      if rest.starts(with: part.utf8) { return true }
      rest = rest.dropFirst()
    }
    return false
  }
}
