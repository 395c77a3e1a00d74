import HTTP
import Primitives

/// The texts of a request that stand in its log line, where they lie in the connection's memory.
///
/// Borrowed for the one call. What is missing is empty.
package struct RequestTexts {
  package var requestID = UnsafeRawBufferPointer(start: nil, count: 0)
  /// The client's address as text.
  package var client = UnsafeRawBufferPointer(start: nil, count: 0)
  /// The method as it was sent; needed only for `Method.other`.
  package var method = UnsafeRawBufferPointer(start: nil, count: 0)
  package var target = UnsafeRawBufferPointer(start: nil, count: 0)
  package var host = UnsafeRawBufferPointer(start: nil, count: 0)
  package var userAgent = UnsafeRawBufferPointer(start: nil, count: 0)
  /// The verified name of the client's certificate.
  package var clientName = UnsafeRawBufferPointer(start: nil, count: 0)
  /// Who the verified token says that the caller is.
  package var subject = UnsafeRawBufferPointer(start: nil, count: 0)

  package init() {}
}

/// Names by id, already spelled as JSON strings. Made once per reload and shared by all loops.
///
/// A request that outlives a reload should be logged with the names it began with: what a reload
/// removed is `null` in the new ones.
package final class AccessLogNames: Sendable {
  /// The spelled names of one kind behind each other, and where each one ends.
  struct Table: Sendable {
    private var bytes: [UInt8] = []
    private var ends: [Int] = []

    init(_ names: [String?]) {
      for name in names {
        guard var name else {
          bytes.append(contentsOf: "null".utf8)
          ends.append(bytes.count)
          continue
        }
        var text = ByteText(capacity: ByteText.jsonBound(name.utf8.count) + 2)
        text.put(byte: UInt8(ascii: "\""))
        name.withUTF8 { text.put(jsonText: UnsafeRawBufferPointer($0)) }
        text.put(byte: UInt8(ascii: "\""))
        bytes.append(contentsOf: text.bytes)
        ends.append(bytes.count)
      }
    }

    /// Bytes that `put` will write.
    func length(_ id: Int32) -> Int {
      guard id >= 0, id < ends.count else { return 4 }
      let index = Int(id)
      return ends[index] - (index == 0 ? 0 : ends[index - 1])
    }

    func put(_ id: Int32, to text: inout ByteText) {
      guard id >= 0, id < ends.count else { return text.put("null") }
      let index = Int(id)
      let start = index == 0 ? 0 : ends[index - 1]
      bytes.withUnsafeBufferPointer {
        text.put(start: $0.baseAddress! + start, count: ends[index] - start)
      }
    }
  }

  let listeners: Table
  let routes: Table
  let pools: Table
  let members: Table
  let keys: Table

  package init(_ names: MetricNames) {
    listeners = Table(names.listeners)
    routes = Table(names.routes)
    pools = Table(names.pools)
    members = Table(names.members.map { $0?.name })
    keys = Table(names.keys)
  }
}

/// One request as one line of JSON.
///
/// ```
/// {"time":"2026-11-25T00:54:42.123Z","request_id":"…","client":"10.0.0.9","listener":"main",
///  "method":"POST","target":"/v1/chat/completions","host":"…","route":"chat","pool":"chat",
///  "backend":"gpu-1","status":200,"reason":"completed","attempts":1,"request_bytes":812,
///  "response_bytes":20480,"queue_ms":0.004,"connect_ms":null,"first_byte_ms":84.112,
///  "duration_ms":2210.870,"added_ms":0.061,"reused":true,"upgrade":false,"protocol":"h1","tls":"1.3",
///  "tls_resumed":false,"tls_client":"…","user_agent":"…",
///  "key":"team-a","subject":""}
/// ```
/// Every line has every key, in this order, so it can be cut with `cut` too. What did not happen is
/// `null`; a status of 0 means that none was sent.
package enum AccessLogLine {
  /// Bytes of a target that are logged. As many as the default limit of a target is: 8 KiB.
  package static let targetLimit = 8 * 1_024
  /// Bytes of any other text of a client that are logged. Longer user agents are rarely told apart.
  package static let textLimit = 256
  /// Keys, punctuation, numbers and the cut marks. A test finds the true sum below it.
  static let frameBytes = 768

  /// The most bytes the line may need.
  static func bound(_ record: RequestRecord, _ texts: RequestTexts, _ names: AccessLogNames) -> Int
  {
    func text(_ bytes: UnsafeRawBufferPointer) -> Int { min(bytes.count, textLimit) }
    let client =
      text(texts.requestID) + text(texts.client) + text(texts.host) + text(texts.userAgent)
      + text(texts.clientName) + text(texts.subject)
      + text(texts.method) + min(texts.target.count, targetLimit)
    return frameBytes + ByteText.jsonBound(client) + names.listeners.length(record.listener)
      + names.routes.length(record.route) + names.pools.length(record.pool)
      + names.members.length(record.member) + names.keys.length(record.key)
  }

  /// Puts the line and its line feed. The caller has reserved `bound`.
  ///
  /// - Parameter wall: Nanoseconds since 1970 at the end of the request.
  static func put(
    _ record: RequestRecord, wall: Int64, texts: RequestTexts, names: AccessLogNames,
    to text: inout ByteText
  ) {
    text.put("{\"time\":\"")
    text.put(timeOf: wall)
    text.put("\",\"request_id\":\"")
    put(texts.requestID, limit: textLimit, to: &text)
    text.put("\",\"client\":\"")
    put(texts.client, limit: textLimit, to: &text)
    text.put("\",\"listener\":")
    names.listeners.put(record.listener, to: &text)
    text.put(",\"method\":\"")
    if record.method == .other {
      put(texts.method, limit: textLimit, to: &text)
    } else {
      text.put(record.method.name)
    }
    text.put("\",\"target\":\"")
    put(texts.target, limit: targetLimit, to: &text)
    text.put("\",\"host\":\"")
    put(texts.host, limit: textLimit, to: &text)
    text.put("\",\"route\":")
    names.routes.put(record.route, to: &text)
    text.put(",\"pool\":")
    names.pools.put(record.pool, to: &text)
    text.put(",\"backend\":")
    names.members.put(record.member, to: &text)
    text.put(",\"status\":")
    text.put(decimal: UInt64(record.status))
    text.put(",\"reason\":\"")
    text.put(record.reason.label)
    text.put("\",\"attempts\":")
    text.put(decimal: UInt64(record.attempts))
    text.put(",\"request_bytes\":")
    text.put(decimal: record.requestBytes)
    text.put(",\"response_bytes\":")
    text.put(decimal: record.responseBytes)
    text.put(",\"queue_ms\":")
    put(record.queue, to: &text)
    text.put(",\"connect_ms\":")
    put(record.connect, to: &text)
    text.put(",\"first_byte_ms\":")
    put(record.firstByte, to: &text)
    text.put(",\"duration_ms\":")
    put(record.duration, to: &text)
    text.put(",\"added_ms\":")
    put(record.added, to: &text)
    text.put(",\"reused\":")
    text.put(record.upstreamConnectionReused ? "true" : "false")
    text.put(",\"upgrade\":")
    text.put(record.isUpgrade ? "true" : "false")
    text.put(record.isHTTP2 ? ",\"protocol\":\"h2\"" : ",\"protocol\":\"h1\"")
    if let tls = record.tls {
      text.put(",\"tls\":\"")
      text.put(tls.label)
      text.put(record.tlsIsResumed ? "\",\"tls_resumed\":true" : "\",\"tls_resumed\":false")
    } else {
      text.put(",\"tls\":null,\"tls_resumed\":false")
    }
    text.put(",\"tls_client\":\"")
    put(texts.clientName, limit: textLimit, to: &text)
    text.put("\",\"user_agent\":\"")
    put(texts.userAgent, limit: textLimit, to: &text)
    text.put("\",\"key\":")
    names.keys.put(record.key, to: &text)
    text.put(",\"subject\":\"")
    put(texts.subject, limit: textLimit, to: &text)
    text.put("\"}\n")
  }

  private static func put(_ amount: TimeAmount?, to text: inout ByteText) {
    guard let amount else { return text.put("null") }
    text.put(millisecondsOf: amount.nanoseconds)
  }

  /// A text that is longer than the limit ends in three points.
  private static func put(
    _ bytes: UnsafeRawBufferPointer, limit: Int, to text: inout ByteText
  ) {
    if bytes.count <= limit {
      text.put(json: bytes)
    } else {
      text.put(json: UnsafeRawBufferPointer(rebasing: bytes[..<limit]))
      text.put("...")
    }
  }
}
