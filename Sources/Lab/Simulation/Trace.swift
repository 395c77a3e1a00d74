import Primitives
import ProxyCore

/// What the loops were told and what they decided, as a hash of all and the last of it as text.
struct Trace {
  enum What: UInt8 {
    case accepted, received, ended, hungUp, broken, connected, connectFailed, refused, blocked
    case drained, deadlinePassed
    case write, finish, close, drop, reset, connect, pause, resume, announce
    case reload, settle, drain, cut, peerReported
  }

  struct Line {
    var at = Instant.zero
    var loop: UInt8 = 0
    var what = What.accepted
    var handle = Handle.none
    var a = 0
    var b = 0
  }

  /// Lines that a failure shows.
  private static let kept = 60

  private(set) var hash: UInt64 = 0xcbf2_9ce4_8422_2325
  private(set) var count = 0
  private var ring = [Line](repeating: Line(), count: kept)
  /// Everything goes to standard output as it happens.
  var isLoud = false

  mutating func note(
    _ at: Instant, _ loop: Int, _ what: What, _ handle: Handle = .none, _ a: Int = 0, _ b: Int = 0
  ) {
    mix(UInt64(truncatingIfNeeded: at.nanoseconds))
    mix(UInt64(what.rawValue) << 8 | UInt64(truncatingIfNeeded: loop))
    mix(handle.bits)
    mix(UInt64(truncatingIfNeeded: a) << 32 ^ UInt64(truncatingIfNeeded: b))
    let line = Line(at: at, loop: UInt8(loop), what: what, handle: handle, a: a, b: b)
    ring[count % Self.kept] = line
    count += 1
    if isLoud { print(Self.text(line)) }
  }

  /// What the other ends send and get, frame by frame, for people only.
  func tell(_ at: Instant, _ who: String, isSent: Bool, _ head: Frame.Head) {
    let kind = Frame.Kind(rawValue: head.kind).map { "\($0)" } ?? "frame \(head.kind)"
    let flags = head.flags == 0 ? "" : " flags \(String(head.flags, radix: 16))"
    print(
      "\(Self.text(at)) \(who) \(isSent ? "sends" : "gets") \(kind) on \(head.stream), "
        + "\(head.length) bytes\(flags)")
  }

  private static func text(_ at: Instant) -> String {
    let microseconds = at.nanoseconds / 1_000
    let seconds = microseconds / 1_000_000
    let rest = String(microseconds % 1_000_000)
    return "\(seconds).\(String(repeating: "0", count: 6 - rest.count))\(rest)"
  }

  /// Some of what is written: enough to tell two runs apart.
  mutating func mix(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress, bytes.count >= 8 else {
      for byte in bytes { mix(UInt64(byte)) }
      return
    }
    mix(base.loadUnaligned(as: UInt64.self))
    mix(base.loadUnaligned(fromByteOffset: bytes.count - 8, as: UInt64.self))
  }

  private mutating func mix(_ word: UInt64) {
    hash = (hash ^ word) &* 0x0000_0100_0000_01b3
    hash ^= hash >> 29
  }

  var lastLines: [String] {
    let from = max(0, count - Self.kept)
    return (from..<count).map { Self.text(ring[$0 % Self.kept]) }
  }

  private static func text(_ line: Line) -> String {
    let time = text(line.at)
    let who = line.handle.isNone ? "" : " #\(line.handle.index).\(line.handle.generation)"
    let detail: String =
      switch line.what {
      case .received, .write: " \(line.a) bytes"
      case .broken, .connectFailed: " errno \(line.a)"
      case .connect: " pool \(line.a) slot \(line.b)"
      case .announce, .peerReported: " pool \(line.a) member \(line.b)"
      default: ""
      }
    return "\(time) loop\(line.loop) \(line.what)\(who)\(detail)"
  }
}
