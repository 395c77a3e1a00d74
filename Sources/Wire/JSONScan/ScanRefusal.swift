/// Why a body is refused by `RequestScan`. One reason, one metric label, one sentence.
package struct ScanRefusal: Error, Equatable, Sendable, CustomStringConvertible {
  package enum Reason: UInt8, CaseIterable, Sendable {
    case notJSON
    case byteOrderMark
    case notAnObject
    case tooDeep
    case truncated
    /// Of two equal names one parser takes the first, another the last.
    case nameTwice
    /// Parsers of Go read names in any case, so `Model` and `model` may be one name or two.
    case nameCase
    /// A control character or half of a surrogate pair in a name: some parsers cut there.
    case nameUnsafe
    case modelNotText
    case modelTooLong
    case modelUnsafe

    /// For metrics and logs.
    package var label: StaticString {
      switch self {
      case .notJSON: "json_malformed"
      case .byteOrderMark: "json_byte_order_mark"
      case .notAnObject: "json_not_object"
      case .tooDeep: "json_too_deep"
      case .truncated: "json_truncated"
      case .nameTwice: "json_name_twice"
      case .nameCase: "json_name_case"
      case .nameUnsafe: "json_name_unsafe"
      case .modelNotText: "model_not_text"
      case .modelTooLong: "model_too_long"
      case .modelUnsafe: "model_unsafe"
      }
    }
  }

  package let reason: Reason
  /// Bytes of the body before the place. For names and models: their end.
  package let offset: Int
  /// The member that it is about; empty where it is none.
  package let name: RequestNames

  /// What is wrong and what to change. Goes into JSON as it stands: no quotes, no backslashes.
  package var description: String {
    switch reason {
    case .notJSON: "The body is not JSON at byte \(offset); send one JSON object."
    case .byteOrderMark: "The body begins with a byte order mark; send UTF-8 without it."
    case .notAnObject: "The body is not a JSON object; send one, in braces."
    case .tooDeep: "The body is nested deeper than json_depth allows; send it flatter."
    case .truncated: "The body ends inside its JSON object; send all of it."
    case .nameTwice:
      "The member \(name.spelling) stands twice, and servers disagree on which counts; send it once."
    case .nameCase:
      "A member differs from \(name.spelling) only by upper case; write it in lower case."
    case .nameUnsafe:
      "A name at byte \(offset) holds a control character or half a surrogate pair; remove it."
    case .modelNotText: "The model is not a string; send its name in quotes."
    case .modelTooLong: "The model is longer than \(RequestScan.modelBytesLimit) bytes; shorten it."
    case .modelUnsafe: "The model holds a control character or is not UTF-8; send printable text."
    }
  }
}
