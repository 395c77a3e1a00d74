/// What the handler wants to know of a request. The admin's bodies are ignored.
package struct AdminRequest: Sendable {
  package var method: String
  /// Path and query as they stood in the request line.
  package var target: String
  /// `Host`; nil when the client sent none.
  package var host: String?
  /// `Origin`, which browsers send with every POST; nil for curl and `portico status`.
  package var origin: String?
  package var authorization: String?

  package init(
    method: String, target: String, host: String? = nil, origin: String? = nil,
    authorization: String? = nil
  ) {
    self.method = method
    self.target = target
    self.host = host
    self.origin = origin
    self.authorization = authorization
  }
}

/// An answer as a whole. To HEAD the server sends it without its body.
package struct AdminAnswer: Sendable, Equatable {
  package struct Field: Sendable, Equatable {
    package let name: String
    package let value: String
  }

  package enum Content: String, Sendable {
    case text = "text/plain; charset=utf-8"
    case json = "application/json"
    case yaml = "application/yaml"
    case html = "text/html; charset=utf-8"
    case prometheus = "text/plain; version=0.0.4; charset=utf-8"
  }

  package var status: Int
  package var content: Content
  /// Beside `Content-Type` and `Content-Length`.
  package var fields: [Field]
  package var body: [UInt8]

  init(_ status: Int, _ content: Content, _ body: [UInt8], _ more: [Field] = []) {
    self.status = status
    self.content = content
    self.body = body
    fields =
      [
        // What is true now is not true in a second: nobody on the way may keep it.
        Field(name: "Cache-Control", value: "no-store"),
        Field(name: "X-Content-Type-Options", value: "nosniff"),
      ] + more
  }

  /// Sentences for a person with curl.
  init(_ status: Int, lines: [String], _ more: [Field] = []) {
    self.init(status, .text, Array((lines.joined(separator: "\n") + "\n").utf8), more)
  }
}
