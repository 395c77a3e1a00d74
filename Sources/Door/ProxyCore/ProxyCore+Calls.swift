import GRPC
import HTTP
import HTTP1
import Primitives
import Telemetry

/// What the core does for calls of gRPC besides what it does for every request.
extension ProxyCore {
  /// Takes `grpc-timeout` of the head that has just been parsed.
  func takeCallDeadline(
    _ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer, _ now: Instant
  ) {
    guard let value = requestHead.value(named: "grpc-timeout", in: bytes),
      let limit = GRPCFields.timeout(String(decoding: value.bytes(in: bytes), as: UTF8.self))
    else { return }
    // What is further away than 64 bits reach is no deadline.
    let (end, isMore) = now.nanoseconds.addingReportingOverflow(limit.nanoseconds)
    if !isMore { exchange.pointee.callEnds = Instant(nanoseconds: end) }
  }

  /// The caller waits no longer. That says nothing about the backend: callers set deadlines as they
  /// like.
  mutating func endCall(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ exchange: UnsafeMutablePointer<Exchange>, _ now: Instant, _ effects: inout Effects
  ) {
    let exchangeHandle = connection.pointee.exchange
    closeUpstream(handle, connection, .reset, &effects)
    exchange.pointee.upstream = .none
    exchange.pointee.verdict = .neutral
    if exchange.pointee.state == .answering {
      cutAnswer(exchangeHandle, exchange, .callDeadline, now, &effects)
    } else {
      failExchange(exchangeHandle, exchange, .callDeadline, now, &effects)
    }
  }

  /// What an answer that consists of a head says about the member.
  func judgeCall(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer) {
    guard responseHead.status == 200,
      let value = responseHead.value(named: "grpc-status", in: bytes)
    else { return }
    judgeCall(exchange, status: value.bytes(in: bytes))
  }

  /// What trailers say about the member.
  func judgeCall(
    _ exchange: UnsafeMutablePointer<Exchange>, trailers: UnsafeRawBufferPointer
  ) {
    let name = Array("grpc-status: ".utf8)
    var start = 0
    while start < trailers.count {
      var end = start
      while end < trailers.count, trailers[end] != 0x0d { end += 1 }
      let line = UnsafeRawBufferPointer(rebasing: trailers[start..<end])
      if line.starts(with: name) {
        judgeCall(exchange, status: UnsafeRawBufferPointer(rebasing: line[name.count...]))
      }
      start = end + 2
    }
  }

  /// As HTTP would say it: unavailable and exhausted are pushed back, internal is a failure. That a
  /// deadline has passed is the caller's doing.
  private func judgeCall(
    _ exchange: UnsafeMutablePointer<Exchange>, status: UnsafeRawBufferPointer
  ) {
    guard (1...2).contains(status.count) else { return }
    var number = 0
    for byte in status {
      guard (0x30...0x39).contains(byte) else { return }
      number = number * 10 + Int(byte - 0x30)
    }
    if let code = GRPCStatus.Code(rawValue: number), code != .ok, code != .deadlineExceeded {
      judge(exchange, code.httpStatus)
    }
  }
}
