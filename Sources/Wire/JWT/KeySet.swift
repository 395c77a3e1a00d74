import COpenSSL
import JSON

/// What is wrong with one key of a JWKS file, for the operator.
package struct KeyComplaint: Error, Equatable, Sendable, CustomStringConvertible {
  /// Place in `keys`, from 0; nil when the file itself is meant.
  package let index: Int?
  package let kid: String?
  /// What is wrong and what to do.
  package let problem: String

  package var description: String {
    guard let index else { return "jwks: \(problem)" }
    return "jwks: key \(index)" + (kid.map { " (kid '\($0)')" } ?? "") + ": \(problem)"
  }
}

/// The public keys of a JWKS file (RFC 7517). Immutable; shared by all loops.
package struct KeySet: Sendable {
  package var count: Int { 0 }

  /// Reads a file. Keys that cannot be used are left out, each with a complaint; nil when none is
  /// left.
  package init?(jwks bytes: UnsafeRawBufferPointer, complaints: inout [KeyComplaint]) {
    return nil
  }
}
