/// Why a model cannot be used: which file, what is wrong with it, and what to do.
package struct ModelComplaint: Error, Equatable, CustomStringConvertible {
  /// The file or folder, as the operator would type it.
  package let path: String
  /// One sentence, without the path in front.
  package let problem: String

  package init(_ path: String, _ problem: String) {
    self.path = path
    self.problem = problem
  }

  package var description: String { "\(path): \(problem)" }
}

/// How a text from a file is shown in a sentence: in quotes, on one line, and not endless.
func quoted(_ text: String) -> String {
  var shown = "'"
  for (index, scalar) in text.unicodeScalars.enumerated() {
    if index == 80 { return shown + "...'" }
    let isPlain = scalar.value >= 0x20 && !(0x7f...0x9f).contains(scalar.value)
    shown.unicodeScalars.append(isPlain ? scalar : "?")
  }
  return shown + "'"
}
