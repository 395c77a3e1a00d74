/// Why a tokenizer cannot be used. A sentence for the operator.
package struct TokenizerComplaint: Error, Equatable, CustomStringConvertible {
  package let problem: String

  package init(_ problem: String) { self.problem = problem }

  package var description: String { problem }
}

/// A text of a stranger's file as it may stand in a sentence: quoted, at most 80 characters, and
/// none that a terminal would obey or that would begin a line of its own.
func quoted(_ text: String) -> String {
  var shown = String.UnicodeScalarView()
  for scalar in text.prefix(80).unicodeScalars {
    let isPlain = scalar.value >= 0x20 && !(0x7f...0x9f).contains(scalar.value)
    shown.append(isPlain ? scalar : "\u{fffd}")
  }
  return "'\(shown)\(text.count > 80 ? "…" : "")'"
}

func quoted(_ bytes: some Collection<UInt8>) -> String {
  quoted(String(decoding: bytes, as: UTF8.self))
}
