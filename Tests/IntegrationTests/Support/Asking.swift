import JSON
import Primitives
import TestClient
import Testing

/// One request on a connection of its own.
func ask(
  _ address: SocketAddress, _ method: String, _ target: String, fields: String = "",
  body: String = ""
) throws -> TestClient.Response {
  let client = try TestClient(address)
  client.send(request(method, target, fields: fields, body: body))
  return client.readResponse(toHead: method == "HEAD")
}

/// The text of a request. `fields` are lines without their ends, with `\n` between them.
func request(
  _ method: String, _ target: String, fields: String = "", body: String = ""
) -> String {
  let lines = fields.split(separator: "\n").map { $0 + "\r\n" }.joined()
  let length =
    body.isEmpty && method != "POST" ? "" : "Content-Length: \(body.utf8.count)\r\n"
  return "\(method) \(target) HTTP/1.1\r\nHost: story\r\n\(lines)\(length)\r\n\(body)"
}

/// What a chat client sends.
func chat(tokens: Int? = nil, streamed: Bool = false, mock: String = "") -> String {
  let limit = tokens.map { ",\"max_tokens\":\($0)" } ?? ""
  return request(
    "POST", "/v1/chat/completions",
    fields: "Content-Type: application/json" + (mock.isEmpty ? "" : "\nX-Mock: \(mock)"),
    body: #"{"stream":\#(streamed),"messages":[{"role":"user","content":"hello"}]\#(limit)}"#)
}

/// Prometheus text.
struct Metrics {
  private let lines: [Substring]

  init(_ text: String) { lines = text.split(separator: "\n") }

  /// The sum of a family's samples, of those that carry all of the given labels, such as
  /// `backend="a"`.
  func sum(_ name: String, _ labels: String...) -> Double {
    var sum = 0.0
    for line in lines where line.hasPrefix(name) {
      let rest = line.dropFirst(name.count)
      guard rest.first == "{" || rest.first == " ",
        labels.allSatisfy({ $0.isEmpty || rest.contains($0) }),
        let value = rest.split(separator: " ").last.flatMap({ Double($0) })
      else { continue }
      sum += value
    }
    return sum
  }
}

extension Portico {
  func admin(
    _ method: String, _ target: String, fields: String = ""
  ) throws -> TestClient.Response {
    try ask(adminPort.address, method, target, fields: fields)
  }

  func metrics() throws -> Metrics { Metrics(try admin("GET", "/metrics").body) }

  /// What `/fleet` says of a member, by its name.
  func member(_ name: String) throws -> JSONValue {
    let fleet = try JSONValue(try admin("GET", "/fleet").body)
    for pool in fleet["pools"]?.elements ?? [] {
      for member in pool["members"]?.elements ?? [] where member["name"]?.text == name {
        return member
      }
    }
    throw NoSuchMember(name: name)
  }

  struct NoSuchMember: Error {
    let name: String
  }
}
