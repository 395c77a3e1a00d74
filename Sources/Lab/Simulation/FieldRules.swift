/// What header lists of the front door must look like. RFC 9113, 8.2 and 8.3.
enum FieldRules {
  private static let hopByHop: Set<String> = [
    "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade",
  ]

  /// A list as a head that reads as one of HTTP/1.1 does.
  static func head(_ fields: [Field], isRequest: Bool) throws(ParseFault) -> MessageHead {
    let pseudo = fields.prefix { $0.name.hasPrefix(":") }
    let rest = fields.dropFirst(pseudo.count)
    let wanted: Set<String> =
      isRequest ? [":method", ":scheme", ":path", ":authority"] : [":status"]
    guard pseudo.count == wanted.count, Set(pseudo.map(\.name)) == wanted else {
      throw ParseFault(text: "pseudo-fields \(pseudo.map(\.name).joined(separator: " "))")
    }
    try check(rest)
    func value(_ name: String) -> String { pseudo.first { $0.name == name }!.value }
    var head = MessageHead(
      start: isRequest
        ? (value(":method"), value(":path"), "HTTP/2") : ("HTTP/2", value(":status"), ""),
      fields: rest.map { ($0.name, $0.value) })
    if isRequest {
      guard head.value("host") == nil else { throw ParseFault(text: "host and :authority") }
      head.fields.append(("host", value(":authority")))
      if let te = head.value("te"), te != "trailers" { throw ParseFault(text: "te '\(te)'") }
    } else {
      guard (100..<600).contains(head.status), head.start.1.utf8.count == 3 else {
        throw ParseFault(text: "status '\(head.start.1)'")
      }
    }
    return head
  }

  static func checkTrailers(_ fields: [Field]) throws(ParseFault) { try check(fields[...]) }

  private static func check(_ fields: ArraySlice<Field>) throws(ParseFault) {
    for field in fields {
      let isPlain = field.name.utf8.allSatisfy {
        $0 > 0x20 && $0 < 0x7f && $0 != 0x3a && !(0x41...0x5a).contains($0)
      }
      guard isPlain, !field.name.isEmpty, !hopByHop.contains(field.name) else {
        throw ParseFault(text: "field '\(field.name)'")
      }
      guard field.value.utf8.allSatisfy({ $0 >= 0x20 || $0 == 0x09 }) else {
        throw ParseFault(text: "a value of '\(field.name)'")
      }
    }
  }
}
