/// Why a tokenizer cannot be used. A sentence for the operator.
package struct TokenizerComplaint: Error, Equatable, CustomStringConvertible {
  package let problem: String

  package init(_ problem: String) { self.problem = problem }

  package var description: String { problem }
}

/// A text of a stranger's file as it may stand in a sentence: quoted, at most 80 characters.
func quoted(_ text: String) -> String {
  "'" + text.prefix(80) + (text.count > 80 ? "…" : "") + "'"
}

func quoted(_ bytes: some Collection<UInt8>) -> String {
  quoted(String(decoding: bytes, as: UTF8.self))
}
