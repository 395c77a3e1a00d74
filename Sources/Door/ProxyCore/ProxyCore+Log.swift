import HTTP
import HTTP1
import Primitives
import Telemetry

/// The texts of a request for its line in the access log. Only with the log on: the head they stand
/// in is gone when the request ends, so they are copied once, into a lent block.
extension ProxyCore {
  mutating func rememberForLog(
    _ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer
  ) {
    let limit = AccessLogLine.textLimit
    var block = Block()
    func keep(_ text: UnsafeRawBufferPointer, limit: Int, _ pool: inout BlockPool) -> UInt16 {
      let kept = UnsafeRawBufferPointer(rebasing: text[..<min(text.count, limit)])
      pool.append(kept, to: &block)
      return UInt16(kept.count)
    }
    var fields = LogFields()
    fields.method = keep(requestHead.methodRange.bytes(in: bytes), limit: limit, &blocks)
    fields.target = keep(
      requestHead.target.bytes(in: bytes), limit: AccessLogLine.targetLimit, &blocks)
    fields.host = keep(requestHead.authority.bytes(in: bytes), limit: limit, &blocks)
    if let agent = requestHead.value(of: .userAgent) {
      fields.userAgent = keep(agent.bytes(in: bytes), limit: limit, &blocks)
    }
    exchange.pointee.logText = block
    exchange.pointee.logFields = fields
  }

  /// The identity that goes upstream stands in the log too.
  mutating func rememberRequestID(
    _ exchange: UnsafeMutablePointer<Exchange>, _ id: UnsafeRawBufferPointer
  ) {
    guard exchange.pointee.logText.isLent else { return }
    blocks.append(id, to: &exchange.pointee.logText)
    exchange.pointee.logFields.requestID = UInt16(id.count)
  }

  mutating func log(_ exchange: UnsafeMutablePointer<Exchange>, _ now: Instant) {
    guard let accessLog else { return }
    let bytes = exchange.pointee.logText.bytes
    let fields = exchange.pointee.logFields
    var start = 0
    func next(_ count: UInt16) -> UnsafeRawBufferPointer {
      defer { start += Int(count) }
      return UnsafeRawBufferPointer(rebasing: bytes[start..<(start + Int(count))])
    }
    var texts = RequestTexts()
    texts.method = next(fields.method)
    texts.target = next(fields.target)
    texts.host = next(fields.host)
    texts.userAgent = next(fields.userAgent)
    texts.requestID = next(fields.requestID)
    if let passage = passages.pointer(exchange.pointee.passage) {
      texts.subject = passage.pointee.subject.bytes
    }
    let names = exchange.pointee.snapshot.logNames
    let wall = now.nanoseconds &+ wallClockOffset
    let record = exchange.pointee.record
    guard let client = connections.pointer(exchange.pointee.client) else {
      accessLog.append(record, wall: wall, texts: texts, names: names)
      return
    }
    texts.clientName = client.pointee.clientName.bytes
    client.pointee.peer.withText { peer in
      texts.client = peer
      accessLog.append(record, wall: wall, texts: texts, names: names)
    }
  }
}
