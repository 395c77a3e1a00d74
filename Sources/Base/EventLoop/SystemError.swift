import Glibc

/// A system call that failed, for the person who must act.
package struct SystemError: Error, CustomStringConvertible, Equatable {
  /// errno, positive.
  package let code: Int32
  /// What was tried, as the operator would say it: `listen on 127.0.0.1:80`.
  package let action: String

  package init(code: Int32, action: String) {
    self.code = code
    self.action = action
  }

  package var description: String { "cannot \(action): \(Self.text(code))" }

  package static func text(_ code: Int32) -> String { String(cString: strerror(code)) }

  /// Turns `-errno` into an error.
  package static func check(_ result: Int32, _ action: @autoclosure () -> String)
    throws(SystemError) -> Int32
  {
    if result < 0 { throw SystemError(code: -result, action: action()) }
    return result
  }
}
