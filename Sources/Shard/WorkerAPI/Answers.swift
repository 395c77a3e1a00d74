import HTTPServer
import JSON

extension HTTPResponder {
  /// A whole answer that is one JSON object.
  package func respond(_ status: Int, _ members: (inout JSONText) -> Void) {
    var text = JSONText()
    text.object(members)
    respond(status, contentType: "application/json", body: text.bytes)
  }

  /// To a watcher: no, and why not.
  package func respondUnwell(_ status: String, _ why: String) {
    respond(503) {
      $0.put("status", status)
      $0.put("why", why)
    }
  }
}

/// A model as `/v1/models` lists it.
package struct ModelListing {
  package let name: String
  /// Seconds since 1970.
  package let created: Int64
  /// Tokens.
  package let contextLimit: Int

  package init(name: String, created: Int64, contextLimit: Int) {
    self.name = name
    self.created = created
    self.contextLimit = contextLimit
  }

  package func put(_ json: inout JSONText) {
    json.put("id", name)
    json.put("object", "model")
    json.put("created", Int(created))
    json.put("owned_by", "portico")
    json.put("max_model_len", contextLimit)
  }

  package func respondList(_ responder: HTTPResponder) {
    responder.respond(200) {
      $0.put("object", "list")
      $0.array("data") { list in list.object { put(&$0) } }
    }
  }
}

extension String {
  /// With `%2F` and the like replaced; names of models have slashes.
  package var removingPercent: String {
    var bytes: [UInt8] = []
    var rest = utf8[...]
    while let byte = rest.popFirst() {
      let digits = rest.prefix(2)
      if byte == UInt8(ascii: "%"), digits.count == 2,
        let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
      {
        bytes.append(value)
        rest.removeFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
