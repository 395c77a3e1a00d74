import Primitives

/// What the front door writes on connections that carry HTTP/2.
extension LoopPerformer {
  /// Notes when requests leave, and spoils frames where a mutation wants it. The core writes whole
  /// frames.
  func lookAtFrames(_ socket: SimSocket, _ link: Link, from start: Int) {
    let bytes = Array(socket.output.bytes[start...])
    var place = socket.isUpstream && !socket.hasWritten ? Frame.preface.utf8.count : 0
    var kept = Array(bytes.prefix(place))
    while place + Frame.headBytes <= bytes.count {
      let head = bytes.withUnsafeBytes {
        Frame.Head(UnsafeRawBufferPointer(rebasing: $0[place...]))
      }
      let next = place + Frame.headBytes + head.length
      guard next <= bytes.count else {
        world.fail("\(socket.handle): a write ends within a frame")
        return
      }
      let kind = Frame.Kind(rawValue: head.kind)
      if socket.isUpstream, kind == .headers, link.streamsAt[head.stream] == nil {
        link.streamsAt[head.stream] = world.now
      }
      var frame = Array(bytes[place..<next])
      if spoil(&frame, kind, head, socket) { kept += frame }
      place = next
    }
    guard kept.count != bytes.count || kept != bytes else { return }
    socket.output.truncate(to: start)
    socket.output.append(kept)
  }

  /// False when the frame is lost.
  private func spoil(
    _ frame: inout [UInt8], _ kind: Frame.Kind?, _ head: Frame.Head, _ socket: SimSocket
  ) -> Bool {
    switch world.scenario.mutation {
    case .loseEndStream where kind == .data || kind == .headers:
      frame[4] &= ~Frame.Flag.endStream
    case .loseReset where kind == .resetStream: return false
    case .crossStreams where kind == .data && head.stream > 2:
      frame[7] = UInt8((head.stream - 2) >> 8 & 0xff)
      frame[8] = UInt8((head.stream - 2) & 0xff)
    default: break
    }
    return true
  }
}
