/// Something the operator has to put right before TLS can be spoken: which file, what is wrong with
/// it, what to do.
package struct TLSComplaint: Error, Sendable, Hashable, CustomStringConvertible {
  /// The file it is about; nil where it is about a setting.
  package let file: String?
  /// A whole sentence that names the file or the setting.
  package let text: String

  package init(file: String? = nil, _ text: String) {
    self.file = file
    self.text = text
  }

  package var description: String { text }
}
